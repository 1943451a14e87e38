"""The two ends of a file that are at hand, and what can be said of its end from them."""

from dataclasses import dataclass
from enum import StrEnum


class Ending(StrEnum):
    """Whether the last byte of the picture is there."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Sight:
    """Head and tail of a file, addressed by the place in the whole file.

    Attributes:
        tail_at: where the tail begins.
        zeros_at: from where on the tail is nothing but zeros; the size of the file if it does not end in zeros.
    """

    head: bytes
    tail: bytes
    size_bytes: int
    tail_at: int
    zeros_at: int

    @classmethod
    def of(cls, head: bytes, tail: bytes, size_bytes: int) -> "Sight":
        tail_at = size_bytes - len(tail)
        zeros_at = tail_at + len(tail.rstrip(b"\x00"))
        if zeros_at == tail_at and head.endswith(b"\x00"):  # the part between the two is taken for zeros as well
            zeros_at = len(head.rstrip(b"\x00"))
        return cls(head, tail, size_bytes, tail_at, zeros_at)

    def read(self, at: int, count: int) -> bytes | None:
        """Return up to `count` bytes, fewer only at the end of the file; None if they are not at hand."""
        if at + count <= len(self.head):
            return self.head[at : at + count]
        if at >= self.tail_at:
            return self.tail[at - self.tail_at : at - self.tail_at + count]
        return None

    def only_zeros_from(self, at: int) -> bool:
        """Say whether the file, as far as the tail shows it, is zeros from there to its end."""
        return self.zeros_at <= at
