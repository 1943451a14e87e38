"""What a person does with the shelves: which files lie there, what they are, and whose. Looks only; nothing is moved here."""

import json
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from functools import cached_property

from birdwatchd.core import shelving
from birdwatchd.core.errors import DiskTrouble, PhotoVanished
from birdwatchd.core.photo import Stamp
from birdwatchd.core.settling import Look
from birdwatchd.core.shelfmoves import SHELVES
from birdwatchd.edges.files import disk
from birdwatchd.edges.files.inbox import Inbox
from birdwatchd.edges.files.names import is_text

NOTE = ".json"
"""Added to a photo's name it is the note beside it, which may have come along when a person moved both."""


class OpenShelves(Inbox):
    """A bird folder, seen from the side where people move photos."""

    def shelves_there(self) -> dict[str, tuple[int, int]]:
        """The shelves that are real folders on the bird folder's own disk, each with its identity."""
        there: dict[str, tuple[int, int]] = {}
        for shelf in SHELVES:
            try:
                found, home = self.path(shelf).lstat(), self.root.lstat()
            except OSError:
                continue
            if stat.S_ISDIR(found.st_mode) and found.st_dev == home.st_dev:
                there[shelf] = (found.st_dev, found.st_ino)
        return there

    def lies_unspoken(self, path: str, sha256: str) -> bool:
        """Whether a photo of this content lies where the machine had put it according to a log that was replaced by a backup since.

        Raises:
            DiskTrouble: what `restoring` wrote down of that cannot be read.
        """
        return path in self._unspoken and shelving.digits_in(path) == sha256[: shelving.HASH_DIGITS]

    @cached_property
    def _unspoken(self) -> frozenset[str]:
        """Paths where files lay at the last restore that say nothing there; see `shelving.UNSPOKEN`."""
        file = self.path(shelving.UNSPOKEN)
        with disk.translated(f"cannot read {file}"):
            try:
                return frozenset(map(str, json.loads(file.read_bytes())))
            except FileNotFoundError:
                return frozenset()
            except (ValueError, TypeError) as error:
                raise DiskTrouble(
                    f"{file} does not tell what lay on the shelves at the last restore",
                    hint="remove it: what lies in a species folder is then taken for named by you",
                ) from error

    def shelf_files(
        self, is_ignored: Callable[..., bool], *, on_closed: Callable[[str], None] = lambda _: None
    ) -> Iterator[tuple[str, Stamp] | None]:
        """Every regular file on the shelves that may be a photo, with its stamp; None after each folder: others have their turn.

        Args:
            on_closed: is told each folder that cannot be listed, and each name that is no text: what lies there is not known.

        Symbolic links are never followed; what vanishes meanwhile is skipped.
        """
        pending = list(SHELVES)
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(self.path(folder)))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                on_closed(folder)
                continue
            names = {entry.name for entry in entries}
            for entry in entries:
                path = f"{folder}/{entry.name}"
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if is_ignored(entry.name, folder=True):
                            continue
                        if is_text(path):
                            pending.append(path)
                        else:
                            on_closed(path)
                    elif entry.is_file(follow_symlinks=False) and not is_ignored(entry.name):
                        if not is_text(path):
                            on_closed(path)
                        elif not (entry.name.endswith(NOTE) and entry.name.removesuffix(NOTE) in names):
                            yield path, disk.stamp_of(entry.stat(follow_symlinks=False))
                except OSError:  # gone between the list and the look: the next look knows better
                    continue
            yield None

    def shelf_stamp(self, path: str) -> Stamp | None:
        """Stamp of one file on a shelf; None when it is gone, no regular file, or behind a symbolic link."""
        try:
            self._refuse_links(path)
            found = self.path(path).lstat()
        except (OSError, PhotoVanished):
            return None
        return disk.stamp_of(found) if stat.S_ISREG(found.st_mode) else None

    def look_on_shelf(self, path: str) -> Look | None:
        """One close look before a new photo is taken up where it lies; None when the file may not be opened.

        Raises:
            PhotoVanished: it is gone, or no regular file.
        """
        with disk.translated(f"cannot look at {shelving.printable(path)}"):
            self._refuse_links(path)
            return self._close_look(self.path(path), path, writers=self._local_writers)

    def _refuse_links(self, path: str) -> None:
        folder = self.root
        for part in path.split("/")[:-1]:
            folder = folder / part
            if folder.is_symlink():
                raise PhotoVanished(f"{shelving.printable(path)} lies behind a symbolic link")

    def may_rename_in(self, folder: str) -> bool:
        """Whether a photo in that folder can be given another name."""
        return os.access(self.path(folder), os.W_OK | os.X_OK)

    def have_on_disk(self, path: str) -> None:
        """Make the bytes of a file durable that somebody else wrote."""
        with disk.translated(f"cannot make {shelving.printable(path)} durable"):
            disk.fsync(self.path(path))

    def owner_of(self, path: str) -> str | None:
        """The name of who owns a file; None if that is this program's own user, or nobody knows."""
        try:
            owner = self.path(path).lstat().st_uid
            return None if owner == os.geteuid() else pwd.getpwuid(owner).pw_name
        except (OSError, KeyError):
            return None
