"""What in the inbox is a photo to be, and which camera it came from: told from names alone."""

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache
from pathlib import PurePosixPath

UNFINISHED_NAMES = (
    "*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.download", "*.!sync", "*.swp", "*~", "~*",
)  # fmt: skip
"""Names that programs give to files they are still writing; they rename them when done."""

LITTER_NAMES = ("thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r")
LITTER_FOLDERS = ("@eadir", "#recycle", "$recycle.bin", "__macosx", "lost+found", "system volume information")

_DCF_FOLDER = re.compile(r"\d{3}[0-9A-Z_]{5}|DCIM|MISC|PRIVATE|AVCHD|\d{3}MEDIA", re.IGNORECASE)
"""Folders that every camera makes by itself (CIPA DC-009, Design rule for Camera File system)."""


def is_ignored(name: str, own_patterns: Sequence[str] = (), *, folder: bool = False) -> bool:
    """Whether a file or folder of this base name is passed over, silently and for ever.

    Hidden names, names of files still being written, litter of operating systems and NAS boxes, and the person's own
    shell patterns (`[inbox] ignore`). Letter case does not count.
    """
    folded = name.casefold()
    if folded.startswith("."):
        return True
    if own_patterns and _any_of(tuple(own_patterns)).match(folded):
        return True
    if folder:
        return folded in LITTER_FOLDERS
    return folded in LITTER_NAMES or _any_of(UNFINISHED_NAMES).match(folded) is not None


@lru_cache(maxsize=8)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all of them: a sweep asks it for every file of the inbox."""
    return re.compile("|".join(translate(pattern.casefold()) for pattern in patterns))


def is_ignored_path(inbox_path: str, own_patterns: Sequence[str] = ()) -> bool:
    """Whether a file is passed over because of its own name or of a folder that it lies in."""
    *folders, name = PurePosixPath(inbox_path).parts
    return is_ignored(name, own_patterns) or any(is_ignored(folder, own_patterns, folder=True) for folder in folders)


def camera_of(inbox_path: str) -> str | None:
    """The camera that the first sub-folder names, or None.

    Folders that cameras make by themselves (DCIM, 100MEDIA, 101CANON …) name nobody.
    """
    for folder in PurePosixPath(inbox_path).parts[:-1]:
        if not _DCF_FOLDER.fullmatch(folder):
            return folder
    return None
