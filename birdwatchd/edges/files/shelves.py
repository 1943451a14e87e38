"""The shelves: photos in their places, the notes beside them, and the work folder between inbox and shelf."""

import errno
import json
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.errors import DiskTrouble, TransientError
from birdwatchd.core.formats import HEAD_BYTES, READABLE, sniff
from birdwatchd.edges.files import disk
from birdwatchd.edges.files.looking import OpenShelves
from birdwatchd.edges.files.names import Names

_MEDIUM_ERRORS = {errno.EIO, errno.EREMOTEIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA}
_OF_THIS_PATH_ALONE = {errno.EACCES, errno.EPERM, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.ELOOP}


class TargetTaken(TransientError):
    """Something lies already where a photo was to go; it is planned anew under another name."""


IN_HAND_BYTES = 512


class BadSpot(DiskTrouble):
    """The disk gives an error where a photo's bytes lie. Other photos may well be read."""


class OutOfReach(DiskTrouble):
    """Somebody put it where it may not be read, or something else in its place. That passes; other photos can be read meanwhile."""


class Files(OpenShelves):
    """A whole bird folder: inbox and shelves."""

    def exists(self, relative: str) -> bool:
        """Whether a regular file lies there."""
        with disk.translated(f"cannot look for {shelving.printable(relative)}"):
            try:
                return stat.S_ISREG(self.path(relative).lstat().st_mode)
            except OSError as error:
                if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                    raise
                return False

    def taken(self, relative: str) -> bool:
        """Whether anything at all has that name."""
        return os.path.lexists(self.path(relative))

    def check_still_there(self) -> None:
        """Once a sweep; see `Folder.check_still_there`."""
        self._names.forget()
        super().check_still_there()

    def find_content(self, sha256: str) -> str | None:
        """A kept photo of that content under any folder, found by the digits in its name; None when there is none.

        The names are remembered for a moment, so one that came by another way than `place` within seconds may be missed.
        """
        digits = sha256[: shelving.HASH_DIGITS]
        listed = self._names.listed
        there = self._names.with_digits(digits)
        found = next((path for path in there if self._has_content(path, sha256)), None)
        if found is None and there and self._names.listed == listed:  # moved again since the names were listed
            there = self._names.with_digits(digits, anew=True)
            found = next((path for path in there if self._has_content(path, sha256)), None)
        return found

    @cached_property
    def _names(self) -> Names:
        return Names(self.root, self._clock)

    def _has_content(self, relative: str, sha256: str) -> bool:
        try:
            return self.exists(relative) and self.sha256_of(relative) == sha256
        except DiskTrouble:  # it cannot be read: for whoever asks, as good as gone
            return False

    def sha256_of(self, relative: str) -> str:
        """Hex SHA-256 of a file's content."""
        with disk.translated(f"cannot read {shelving.printable(relative)}"):
            return disk.hash_of(self.path(relative))

    def read(self, relative: str, *, max_bytes: int) -> bytes:
        """A photo's bytes, read once.

        Raises:
            TooLarge: it has more than `max_bytes`.
            BadSpot: the disk does not give them.
            OutOfReach: its rights do not, or it is no file any more.
        """
        what = f"cannot read {shelving.printable(relative)}"
        with disk.translated(what):
            try:
                return disk.read(self.path(relative), max_bytes)
            except OSError as error:
                if error.errno in _OF_THIS_PATH_ALONE:
                    raise OutOfReach(f"{what}: {error.strerror}") from error
                if error.errno not in _MEDIUM_ERRORS:
                    raise
                raise BadSpot(f"{what}: {error.strerror}") from error

    def place(self, source: str, target: str) -> None:
        """Move a photo to where it belongs, making the folder first if need be. On the disk after `sync`.

        Raises:
            TargetTaken: something has that name; nothing was moved.
        """
        destination = self.path(target)
        with disk.translated(f"cannot move {shelving.printable(source)} to {shelving.printable(target)}"):
            self._make_folder(destination.parent)
            try:
                disk.rename_noreplace(self.path(source), destination)
            except FileExistsError as error:
                raise TargetTaken(f"{shelving.printable(target)} is taken") from error
        self._names.add(target)

    def place_anew(self, source: str, target: str) -> None:
        """For a photo that is found at its target, but was never said to be there durably: once back and forth.

        Its folders may have failed to be synced, and that is final: the kernel takes for clean what it could not write. Only names that
        are written anew are written by the next fsync.
        """
        try:
            self.place(target, source)
        except TargetTaken:
            return  # somebody has put something there; then it is no folder of ours that failed
        self.place(source, target)

    def sync(self, files: Iterable[str]) -> None:
        """Make the names of these files (and their absence where they were) durable: fsync of the folders that hold them.

        A failed fsync is final: the kernel has dropped what it could not write, asking again would lie. See `place_anew`.
        """
        folders = {self.path(file).parent for file in files}
        with disk.translated("cannot make a move durable"):
            for folder in sorted(folders):
                if folder.is_dir():
                    disk.fsync(folder)
                    self.alive()

    def write_sidecar(self, photo: str, content: Mapping[str, Any]) -> None:
        """Write `FILE.json` beside a quarantined file."""
        path = self.path(photo)
        with disk.translated(f"cannot write the note beside {shelving.printable(photo)}"):
            self._make_folder(path.parent)
            disk.write_whole(
                path.with_name(f"{path.name}.json"), json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
            )
        self.alive()

    def remove_from_quarantine(self, photo: str) -> None:
        """Delete a quarantined file and its note: the one place where anything of a person's is ever deleted, by their setting."""
        if not photo.startswith(f"{shelving.QUARANTINE}/"):
            raise ValueError(f"{photo} is not in quarantine")
        with disk.translated(f"cannot remove {shelving.printable(photo)}"):
            self.path(photo).unlink(missing_ok=True)
            self.path(f"{photo}.json").unlink(missing_ok=True)

    def write_thumbnail(self, sha256: str, jpeg: bytes) -> None:
        """Keep a small picture for the review page, found by content. It can be made again: not synced."""
        path = self.path(f"{shelving.THUMBS}/{sha256[:2]}/{sha256}.jpg")
        with disk.translated("cannot write a thumbnail"):
            self._make_folder(path.parent)
            part = path.with_suffix(".part")
            part.write_bytes(jpeg)
            part.replace(path)

    # -- the work folder

    def stage(self, work_path: str, content: bytes) -> None:
        """Write a copy of something from outside into the work folder, durably. Until a plan names it, it is litter."""
        path = self.path(work_path)
        with disk.translated("cannot copy into the work folder"):
            with path.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            disk.fsync(path.parent)

    def work_files(self) -> list[str]:
        """Everything in the work folder, relative to the bird folder."""
        with disk.translated("cannot list the work folder"):
            return sorted(f"{shelving.WORK}/{path.name}" for path in self.path(shelving.WORK).iterdir())

    def suffix_of(self, work_path: str) -> str:
        """The suffix that fits what a file without a name is, such as `.jpeg`; nothing if it is no photo."""
        with disk.translated("cannot look into the work folder"), self.path(work_path).open("rb") as file:
            kind = sniff(file.read(HEAD_BYTES))
        return f".{kind}" if kind in READABLE else ""

    def note_in_hand(self, photo_ids: Collection[int]) -> None:
        """Keep in mind which photos are being read and looked at, for the next process, should this one die of them.

        Not synced: what a process wrote outlives the process, and the loss of power is no photo's fault.
        """
        words = " ".join(map(str, photo_ids)).ljust(IN_HAND_BYTES - 1) + "\n"
        with disk.translated("cannot note which photos are in hand"):
            handle = self._open_note(self.path(shelving.IN_HAND))
            try:
                os.pwrite(
                    handle, words.encode(), 0
                )  # in one piece, over the older one: never half of it, never out of room
            finally:
                os.close(handle)

    @staticmethod
    def _open_note(path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o660)
        except PermissionError:  # made by another user, as by `sudo birdwatchd scan`
            path.unlink()
            return os.open(path, flags, 0o660)

    def note_looked_at(self, words: str) -> None:
        """Keep in mind which file on a shelf is being looked at, which has no row yet. Not synced, like `note_in_hand`."""
        with disk.translated("cannot note which file is looked at"):
            path = self.path(shelving.LOOKED_AT)
            if words:
                path.write_text(words, encoding="utf-8")
            else:
                path.unlink(missing_ok=True)

    def looked_at(self) -> str:
        """What was last noted there, by this process or by one that died of it; nothing when it ended well."""
        try:
            return self.path(shelving.LOOKED_AT).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    def in_hand(self) -> set[int] | None:
        """The photos that were being read and looked at when a process last said so; None when nobody can tell."""
        try:
            return set(map(int, self.path(shelving.IN_HAND).read_text(encoding="ascii").split()))
        except (OSError, ValueError):  # then each is suspected, and looked at alone
            return None

    def drop_litter(self, work_path: str) -> None:
        """Remove an unfinished copy from the work folder; its original is still where it came from."""
        with disk.translated("cannot tidy the work folder"):
            self.path(work_path).unlink(missing_ok=True)
