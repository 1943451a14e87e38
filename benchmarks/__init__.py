"""Speed and memory, measured on request; never part of the tests."""
