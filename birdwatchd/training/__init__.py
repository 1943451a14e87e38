"""A separate program, started as `python -m birdwatchd.training`; imported by nobody."""
