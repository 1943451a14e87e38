"""A separate program, started as `python -m birdwatchd.training`; imported by nobody."""

import os

# To be said before numpy is loaded. Its threads wait for each other by spinning: on two cores that others use too the quick training
# of 1,200 labels took 47 s with two of them, and 7 s with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
