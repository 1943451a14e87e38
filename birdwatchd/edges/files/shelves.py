"""The shelves: photos in their places, the notes beside them, and the work folder between inbox and shelf."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.errors import DiskTrouble, TransientError
from birdwatchd.core.formats import HEAD_BYTES, READABLE, sniff
from birdwatchd.edges.files import disk
from birdwatchd.edges.files.folder import FOLDER_MODE, GROUP_MAY_WORK
from birdwatchd.edges.files.inbox import Inbox


class TargetTaken(TransientError):
    """Something lies already where a photo was to go; it is planned anew under another name."""


class Files(Inbox):
    """A whole bird folder: inbox and shelves."""

    def exists(self, relative: str) -> bool:
        """Whether a regular file lies there."""
        with disk.translated(f"cannot look for {shelving.printable(relative)}"):
            return self.path(relative).is_file() and not self.path(relative).is_symlink()

    def taken(self, relative: str) -> bool:
        """Whether anything at all has that name."""
        return os.path.lexists(self.path(relative))

    def find_content(self, sha256: str) -> str | None:
        """A kept photo of that content under any folder, found by the digits in its name; None when there is none."""
        mark = f"-{sha256[: shelving.HASH_DIGITS]}"
        for shelf in (shelving.LIBRARY, shelving.REVIEW, shelving.EMPTY):
            for path in self.path(shelf).rglob(f"*{mark}*"):
                relative = path.relative_to(self.root).as_posix()
                if any("\ud800" <= char <= "\udfff" for char in relative):
                    continue  # a folder whose name is no text: the log cannot hold it
                if self.exists(relative) and self.sha256_of(relative) == sha256:
                    return relative
        return None

    def sha256_of(self, relative: str) -> str:
        """Hex SHA-256 of a file's content."""
        with disk.translated(f"cannot read {shelving.printable(relative)}"):
            return disk.hash_of(self.path(relative))

    def read(self, relative: str, *, max_bytes: int) -> bytes:
        """A photo's bytes, read once.

        Raises:
            TooLarge: it has more than `max_bytes`.
        """
        with disk.translated(f"cannot read {shelving.printable(relative)}"):
            return disk.read(self.path(relative), max_bytes)

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

    def _make_folder(self, folder: Path) -> None:
        if folder == self.root:
            return
        if folder.is_symlink():
            raise DiskTrouble(f"{shelving.printable(str(folder))} is a symbolic link", hint="make it a real folder")
        self._make_folder(folder.parent)
        if folder.is_dir():
            return
        folder.mkdir(exist_ok=True)
        if folder.stat().st_mode & GROUP_MAY_WORK != GROUP_MAY_WORK:
            folder.chmod(FOLDER_MODE)
        disk.fsync(folder.parent)

    def sync(self, files: Iterable[str]) -> None:
        """Make the names of these files (and their absence where they were) durable: fsync of the folders that hold them.

        A failed fsync is final: the kernel has dropped the dirty pages, asking again would lie.
        """
        folders = {self.path(file).parent for file in files}
        with disk.translated("cannot make a move durable"):
            for folder in sorted(folders):
                if folder.is_dir():
                    disk.fsync(folder)

    def write_sidecar(self, photo: str, content: Mapping[str, Any]) -> None:
        """Write `FILE.json` beside a quarantined file."""
        path = self.path(photo)
        with disk.translated(f"cannot write the note beside {shelving.printable(photo)}"):
            self._make_folder(path.parent)
            disk.write_whole(
                path.with_name(f"{path.name}.json"), json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
            )

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
            path.parent.mkdir(parents=True, exist_ok=True)
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

    def drop_litter(self, work_path: str) -> None:
        """Remove an unfinished copy from the work folder; its original is still where it came from."""
        with disk.translated("cannot tidy the work folder"):
            self.path(work_path).unlink(missing_ok=True)
