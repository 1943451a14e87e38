"""The hands: the only code that lists, claims and moves photos below the bird folder.

Every path that goes in or out is relative to the bird folder and in POSIX form, so that the log stays true when the folder moves.
Nothing is overwritten: moves use `renameat2(RENAME_NOREPLACE)`. What a method promised is on the disk once `sync` of the folders
that it touched has returned.
"""

from birdwatchd.edges.files.disk import hash_outside, read_outside, stamp_of, write_new, write_whole
from birdwatchd.edges.files.folder import RootLock, file_system_of
from birdwatchd.edges.files.inbox import CANARY, HELD_PREFIX
from birdwatchd.edges.files.shelves import BadSpot, Files, OutOfReach, TargetTaken

__all__ = [
    "CANARY",
    "HELD_PREFIX",
    "BadSpot",
    "Files",
    "OutOfReach",
    "RootLock",
    "TargetTaken",
    "file_system_of",
    "hash_outside",
    "read_outside",
    "stamp_of",
    "write_new",
    "write_whole",
]
