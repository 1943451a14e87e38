"""The window: something happened at this path. Only a hint; the sweep finds what no event told of."""

from birdwatchd.edges.watch.window import Hint as Hint
from birdwatchd.edges.watch.window import Watch as Watch
