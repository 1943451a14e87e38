"""The walls, tried from inside: what could a photo do that took this program over?

`python -m birdwatchd.edges.walls ROOT` is started by the process whose walls are asked about, because a child has the same ones:
namespaces, rights, the filter of system calls. Each trial runs in a child of its own, which may die of it. Where a wall is missing
nothing is changed all the same: what is made is removed at once, what is opened is not read or written, and a call that would change
something gets arguments that make no sense, so that the kernel says "invalid" where it would have obeyed, and "not permitted" else.
"""

from birdwatchd.edges.walls.trial import Trial, Wall

__all__ = ["Trial", "Wall"]
