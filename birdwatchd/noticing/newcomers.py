"""Files at places that the log does not know: photos of ours are known at once; new ones, and what a person renamed, settle first."""

from collections.abc import Callable, Generator, Mapping

from birdwatchd.core.errors import PhotoVanished, TransientError
from birdwatchd.core.photo import Stamp
from birdwatchd.core.settling import Settling
from birdwatchd.core.shelfmoves import Lying
from birdwatchd.edges.files import Files
from birdwatchd.noticing.contents import Contents
from birdwatchd.noticing.left import Left

BATCH = 32


class Newcomers:
    """Tells files of ours from those that have to settle, and lets these settle.

    Args:
        contents: tell what a file holds.
        left: holds what is passed over until it changes, and gets what cannot be read.
        settle_s, unfinished_s: how long one must have stood still, and one without its end; see `Settling`.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        files: Files,
        contents: Contents,
        left: Left,
        *,
        settle_s: float,
        unfinished_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._files = files
        self._contents = contents
        self._left = left
        self._clock = clock
        self._settling = Settling(quiet_s=settle_s, unfinished_s=unfinished_s)

    def sort_out(self, unknown: Mapping[str, Stamp]) -> Generator[None, None, dict[str, list[Lying]]]:
        """Have those that are none of ours settle, in steps; returns ours by their contents."""
        places: dict[str, list[Lying]] = {}
        for path, stamp in unknown.items():
            yield
            if self._left.holds(path, stamp):
                continue
            self._left.forget(path)
            try:
                sha256 = self._contents.of_ours(path, stamp)
            except PhotoVanished:
                continue  # it is moved on; where it comes to lie is looked at next
            except TransientError as error:
                self._left.leave(path, str(error))
                continue
            if sha256 is None:
                self._settling.see(path, stamp, self._clock())
            else:
                places.setdefault(sha256, []).append(Lying(path, stamp.ctime_ns))
        return places

    def see_again(self, path: str) -> None:
        """One has changed: it has to settle anew, if there is still something."""
        if (stamp := self._files.shelf_stamp(path)) is not None:
            self._settling.see(path, stamp, self._clock())

    def next_look(self) -> float | None:
        """When one may have settled; None when none waits."""
        return self._settling.next_look()

    def due(self) -> list[str]:
        """Some that may have settled by now."""
        return self._settling.due(self._clock(), BATCH)

    def settled(self, path: str) -> tuple[str, Lying] | None:
        """Content and place of a file that has stood still for long enough; None for any other."""
        try:
            look = self._files.look_on_shelf(path)
            if look is None:
                self._left.leave(path, "may not be read (give birdwatchd's user or group the right: chmod g+r)")
            if not self._settling.weigh(path, look, self._clock()) or look is None:
                return None
            self._settling.forget(path)
            self._left.forget(path)
            return self._contents.read(path, look.stamp), Lying(path, look.stamp.ctime_ns)
        except PhotoVanished:
            self._settling.forget(path)
            self.see_again(path)
        except TransientError as error:  # its own trouble: others can be read
            self._settling.forget(path)
            self._left.leave(path, str(error))
        return None

    def sizes(self) -> set[int]:
        """In bytes, of all that wait."""
        return {stamp.size_bytes for path in self._settling.waiting() if (stamp := self._files.shelf_stamp(path))}

    def are_waiting(self) -> bool:
        """Whether any have yet to settle."""
        return len(self._settling) > 0
