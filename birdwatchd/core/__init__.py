"""Values and rules: no disk, no clock, no thread, no log, no network."""
