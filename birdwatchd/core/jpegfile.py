"""The inside of a JPEG, told from its markers without decoding it: header, frame, picture data, and whether its end is there."""

import re
from dataclasses import dataclass

import numpy as np

from birdwatchd.core.sight import Ending, Sight

_SOS, _EOI = 0xDA, 0xD9
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
# A header of 4,096 steps would be 256 MB of segments; more is an attack on whoever walks it, junk byte by junk byte.
_MOST_STEPS = 4096
# Tables and scans behind the header: a progressive photo has some dozen.
_MOST_MARKERS = 100_000
# In picture data 0xFF is followed by 0 (a plain 0xFF), by a restart marker, or by a real marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
# What may stand between the scans of a progressive photo, and how long it can be: tables of Huffman codes and of
# quantization, the next scan, the number of lines, the restart interval.
_BETWEEN_SCANS = {0xC4: (19, 2178), 0xDB: (67, 518), _SOS: (8, 14), 0xDC: (4, 4), 0xDD: (4, 4)}


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a JPEG's header.

    Attributes:
        code: its marker's second byte.
        begin, end: from the marker's first byte to behind the last of its content.
    """

    code: int
    begin: int
    end: int


def ending_of(sight: Sight) -> Ending:
    """Whether the picture's end marker is there; see `formats.ending`."""
    _, start = _walk_header(sight)
    if isinstance(start, Ending):
        return start
    in_step = start is not None and start >= sight.tail_at
    at = start - sight.tail_at if in_step and start is not None else 0
    tail = sight.tail
    for _ in range(_MOST_MARKERS):
        marker = _MARKER.search(tail, at)
        if marker is None:
            return Ending.INCOMPLETE
        code, at = tail[marker.end() - 1], marker.end()
        if code == _EOI:
            return Ending.COMPLETE
        shortest, longest = _BETWEEN_SCANS.get(code, (1, 0))
        if longest and sight.only_zeros_from(sight.tail_at + at + 2):
            return Ending.INCOMPLETE
        length = int.from_bytes(tail[at : at + 2], "big")
        if not shortest <= length <= longest:
            # No picture data after all: something appended, or, if we came here step by step, damage.
            closed = tail.endswith(b"\xff\xd9", 0, sight.zeros_at - sight.tail_at)
            return Ending.COMPLETE if closed and not in_step else Ending.UNTOLD
        at += length
    return Ending.UNTOLD


def _walk_header(sight: Sight) -> tuple[list[Segment], int | Ending | None]:
    """Walk a JPEG's header.

    Returns:
        Its segments up to the first scan's; and where the picture data begins, None if that is out of sight, or the
        answer if there is one already.
    """
    segments: list[Segment] = []
    at = 2
    for _ in range(_MOST_STEPS):
        if at >= sight.size_bytes:
            return segments, Ending.INCOMPLETE
        bytes_here = sight.read(at, 4)
        if bytes_here is None:
            return segments, None
        if len(bytes_here) < 4 or sight.only_zeros_from(at + 3):
            return segments, Ending.INCOMPLETE
        code = bytes_here[1]
        if bytes_here[0] != 0xFF or code in (0x00, 0xFF):  # junk or filling, which readers skip
            at += 1
        elif code in _STANDALONE:
            at += 2
        elif code == _EOI:
            return segments, Ending.UNTOLD
        else:
            end = at + 2 + max(2, int.from_bytes(bytes_here[2:4], "big"))
            segments.append(Segment(code, at, end))
            at = end
            if code == _SOS:
                return segments, at
    return segments, Ending.UNTOLD


def header(data: bytes) -> list[Segment]:
    """The segments before a JPEG's picture data, that of its first scan the last; none if there is no way through to it.

    Args:
        data: the whole file.
    """
    segments, start = _walk_header(Sight.of(data, data, len(data)))
    return segments if isinstance(start, int) else []


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})


@dataclass(frozen=True, slots=True)
class Frame:
    """How a JPEG's picture is laid out. `progressive`: in scans, each over the whole picture, so that all of it is kept in memory."""

    width_px: int
    height_px: int
    progressive: bool


def frame(data: bytes) -> Frame | None:
    """The frame of a JPEG; None if its header tells of none."""
    for segment in header(data):
        if segment.code in _FRAMES and segment.end - segment.begin >= 9:
            height_px, width_px = (
                int.from_bytes(data[at : at + 2], "big") for at in (segment.begin + 5, segment.begin + 7)
            )
            return Frame(width_px, height_px, segment.code in _PROGRESSIVE)
    return None


@dataclass(frozen=True, slots=True)
class PictureData:
    """Where a JPEG's picture data lies, its later scans included; what is appended to the picture does not count.

    Attributes:
        begin, end: 0 and 0 if there is no way through the header.
        scans: how many times it goes over its picture: once if it is baseline, about ten times if it is progressive.
        plain: its end marker is there, and nothing but one scan's data before it: by `ending` the file is COMPLETE.
    """

    begin: int
    end: int
    scans: int
    plain: bool = False


_AT_ONCE_BYTES = 1 << 20
"""Looked through in one go: ten times as fast as a search for two bytes, with a few megabytes of memory whatever the file."""


def picture_data(data: bytes) -> PictureData:
    """Look through a JPEG's picture data for markers.

    Args:
        data: the whole file.
    """
    segments = header(data)
    if not segments:
        return PictureData(0, 0, 0)
    begin, scans, plain = min(segments[-1].end, len(data)), 1, segments[-1].code == _SOS
    view = np.frombuffer(data, np.uint8)
    for at in range(begin, len(data) - 1, _AT_ONCE_BYTES):
        part = view[at : at + _AT_ONCE_BYTES + 1]
        marks = np.flatnonzero(part[:-1] == 0xFF)
        codes = part[marks + 1]
        ends = np.flatnonzero(codes == _EOI)  # in picture data no end marker can occur
        before = codes[: ends[0]] if len(ends) else codes
        plain = plain and bool(_IN_A_SCAN[before].all())
        scans += int(np.count_nonzero(before == _SOS))
        if len(ends):
            return PictureData(begin, at + int(marks[ends[0]]), scans, plain)
    return PictureData(begin, len(data), scans)


_IN_A_SCAN = np.isin(np.arange(256), [0x00, *range(0xD0, 0xD8), 0xFF])
"""By its second byte: whether 0xFF and this may stand within a scan's data; see `_MARKER`."""
