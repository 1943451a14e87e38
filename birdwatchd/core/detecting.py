"""Where in a frame to look closer, and what the looks tell: the rules by which the spotter finds a bird that does not fill the frame.

    the whole frame, once      -> is it filled by a bird? then nothing more is needed
    the frame, larger          -> a map: for each part of it, how much it looks like bird (log-odds)
    its highest peaks          -> places, each with the size of what stands out there
    two crops of each place    -> how likely it is a bird, and where exactly
    the best, framed anew by a close-up; two tight crops of it -> what the bird looks like

The map costs most; that is why its peaks need not be right: they are looked at again, as photos of their own. All figures below were
found on frames composed for that (`benchmarks/README.md`, "Finding the bird").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from birdwatchd.core.photo import Box

DETECTING_VERSION = 3
"""Raised whenever the same frame would give another crop. It goes into the spotter's file, and so into its id: embeddings of other
crops do not compare."""

FILLS = 0.5
"""A whole frame with this birdness shows its bird large enough; three in four tight crops have more, frames with small birds never."""

COUNTS_WHOLE = 0.15
"""Birdness of a whole frame below which no bird fills it, so that only what was found by looking closer counts. Of 2,373 tight crops 3
in 1,000 have less; of frames without a bird, one in 100 has more than 0.05."""

CLOSER_FROM_PX = 640
"""Longer side from which on a picture is taken for a camera's frame. What is smaller is what somebody has cut out or made small:
there is little more to see than the network has seen, and looking closer would only bring false alarms (of 200 photos of 500 px without
a bird 7 would be taken for one, and not 1)."""

DETAIL_PX = 1920
"""Longer side that is kept when a frame is decoded: half of 12 megapixels. All of them named one bird in a hundred more."""

MAP_PX = 1000
"""Longer side of the frame for the map. With 768 half as many birds again are missed; 1,280 brings nothing. The half of a frame of
12 megapixels is decoded anyway, and its half takes a third of the time of any other size near it."""

CELL_PX = 32
"""What one value of the map stands for."""

MOST_PLACES = 4
LEAST_PEAK = -2.0
"""Log-odds below which only the highest peak is worth a look."""

FIRST_PLACES = 1
SURE = 0.9
"""When the first place is a bird with this probability, of the others only those are looked at that the map itself takes for
birds: it costs 11 ms for each, and in nine of ten frames with a bird the first place has it."""

CROPS = (1.0, 1.4)
"""How a place is looked at: so many times the size of what stands out. The bird is about as large as the second."""

_STANDING_OUT = 0.5
"""What is above so much of the way from the ground to the peak belongs to it."""

_SOFTNESS = 1.5
"""By what log-odds are divided before they count as the share of a cell that is bird."""

_OF_THE_BIRD_IN_CROPS = 0.765
_OF_THE_BIRD_CLOSE_UP = 0.81
"""Edge of what is bird, as a share of the bird's: in the wider of the CROPS, and in a crop of its own size. Medians."""

TIGHT = (0.8, 1.0)
"""The crops in which a bird is named, times its size. The mean of two is right more often than either."""

_LEAST_SIDE, _LARGEST_SIDE = 0.05, 0.7

OTHERS_FROM = 0.5
"""Birdness of a further bird that is told of beside the main one."""

_PEAK, _SCORE, _CLASSES, _GROUND = 0.12, 1.43, 0.60, 0.30
"""Logistic regression of places on birds against all others, by map, by crops and by the network's own classes; the last figure is
such that at a birdness of 0.05, which is where photos are called empty, about as many birds are missed as bare frames pass."""

Map = npt.NDArray[np.float32]
"""Log-odds that a part of the picture is bird, shape (rows, columns)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The shape of a picture: width and height in shares of the longer side, which is 1."""

    width: float
    height: float

    @classmethod
    def of(cls, width_px: int, height_px: int) -> "Frame":
        """The shape of a picture of that size."""
        longer = max(width_px, height_px)
        return cls(width_px / longer, height_px / longer)

    @property
    def map_px(self) -> tuple[int, int]:
        """Width and height of the picture that the map is made of."""
        return max(round(self.width * MAP_PX), CELL_PX), max(round(self.height * MAP_PX), CELL_PX)


@dataclass(frozen=True, slots=True)
class Place:
    """Something in a frame that stands out as bird.

    Attributes:
        x, y: its middle, and side: its edge, in shares of the frame's longer side.
        peak: log-odds on the map.
    """

    x: float
    y: float
    side: float
    peak: float


def places(map_: Map, frame: Frame) -> list[Place]:
    """The highest peaks of a map, the highest first; at least one, if the map has any value.

    Args:
        map_: without NaN.
    """
    smooth = _smoothed(map_)
    ground = float(np.median(smooth))
    left = smooth.copy()
    found: list[Place] = []
    while len(found) < MOST_PLACES:
        row, column = divmod(int(left.argmax()), left.shape[1])
        peak = float(left[row, column])
        if not math.isfinite(peak) or (found and peak < LEAST_PEAK):
            break
        cells = _standing_out(smooth, row, column, ground)
        middle = cells.mean(axis=0) + 0.5
        cell = CELL_PX / MAP_PX
        side = min(max(math.sqrt(len(cells)) * cell, _LEAST_SIDE), _LARGEST_SIDE)
        found.append(
            Place(
                min(middle[1] * cell, frame.width), min(middle[0] * cell, frame.height), side, peak
            )  # the last cell juts out
        )
        around = max(2, round(math.sqrt(len(cells)) / 2 + 0.5)) if len(cells) < _VAST else 2
        left[max(row - around, 0) : row + around + 1, max(column - around, 0) : column + around + 1] = -math.inf
    return found


_VAST = 60
"""Cells beyond which nothing stands out, and other peaks may lie within."""


def worth_a_look(others: Sequence[Place], surest: float) -> list[Place]:
    """Which of the other places are to be looked at, when the first ones have been.

    Args:
        surest: the highest birdness of those, 0–1.
    """
    return [place for place in others if surest < SURE or place.peak > 0]


def crop(place: Place, times: float, frame: Frame) -> Box:
    """A square of so many times its size around a place, moved to lie within the frame."""
    side = min(place.side * times, frame.width, frame.height)
    left = min(max(place.x - side / 2, 0.0), frame.width - side)
    top = min(max(place.y - side / 2, 0.0), frame.height - side)
    return Box(left / frame.width, top / frame.height, side / frame.width, side / frame.height)


def with_surroundings(box: Box) -> Box:
    """What to show a person of a bird: half as much again, so that one sees where it sits; cut off at the edges of the frame."""
    wider, higher = box.width * _SURROUNDINGS, box.height * _SURROUNDINGS
    left, top = max(box.x - wider, 0.0), max(box.y - higher, 0.0)
    right, bottom = min(box.x + box.width + wider, 1.0), min(box.y + box.height + higher, 1.0)
    return Box(left, top, right - left, bottom - top)


_SURROUNDINGS = 0.25
"""On each side."""


def birdness(place: Place, maps: Sequence[Map], by_classes: Sequence[float]) -> float:
    """Probability 0–1 that a bird is at a place.

    Args:
        maps: of its crops, in the order of CROPS.
        by_classes: the sum of the network's bird classes in each, 0–1.
    """
    score = float(np.mean([one.mean() for one in maps]))
    odds = max(math.log(p + 1e-6) - math.log(1 - p + 1e-6) for p in by_classes)
    evidence = _PEAK * place.peak + _SCORE * score + _CLASSES * odds + _GROUND
    return 1 / (1 + math.exp(-min(max(evidence, -50.0), 50.0)))


def bird_at(place: Place, maps: Sequence[Map], frame: Frame) -> Place:
    """The bird itself, by the wider crop of a place.

    Args:
        maps: of its crops, in the order of CROPS.
    """
    return _bird_in(place, CROPS[-1], maps[-1], _OF_THE_BIRD_IN_CROPS, frame)


def framed_anew(bird: Place, map_: Map, frame: Frame) -> Place:
    """The bird once more, by a crop of its own size."""
    return _bird_in(bird, 1.0, map_, _OF_THE_BIRD_CLOSE_UP, frame)


def _bird_in(place: Place, times: float, map_: Map, of_the_bird: float, frame: Frame) -> Place:
    """Middle and size of what is bird in a crop; each cell counts by how likely it is bird."""
    box = crop(place, times, frame)
    share = 1 / (1 + np.exp(-map_ / _SOFTNESS))
    rows, columns = np.indices(share.shape) + 0.5
    cell = box.width * frame.width / share.shape[0]
    whole = float(share.sum())
    return Place(
        box.x * frame.width + float((share * columns).sum()) / whole * cell,
        box.y * frame.height + float((share * rows).sum()) / whole * cell,
        math.sqrt(whole) * cell / of_the_bird,
        place.peak,
    )


def is_apart(one: Box, other: Box) -> bool:
    """Whether two boxes are about two birds: the middle of neither lies in the other."""
    return not (_holds_middle(one, other) or _holds_middle(other, one))


def _holds_middle(outer: Box, inner: Box) -> bool:
    x, y = inner.x + inner.width / 2, inner.y + inner.height / 2
    return outer.x <= x <= outer.x + outer.width and outer.y <= y <= outer.y + outer.height


def _smoothed(map_: Map) -> Map:
    """Each value becomes the mean of itself and its eight neighbours; beyond the edge it goes on as at the edge."""
    rows, columns = map_.shape
    padded = np.pad(map_, 1, mode="edge")
    return np.asarray(sum(padded[r : r + rows, c : c + columns] for r in range(3) for c in range(3)) / 9)


def _standing_out(map_: Map, row: int, column: int, ground: float) -> npt.NDArray[np.intp]:
    """Cells (row, column) that hang together with a peak and are nearer to it than to the ground; shape (N, 2), N at least 1."""
    above = ground + _STANDING_OUT * (float(map_[row, column]) - ground)
    rows, columns = map_.shape
    found = {(row, column)}
    to_do = [(row, column)]
    while to_do:
        r, c = to_do.pop()
        for near in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if near not in found and 0 <= near[0] < rows and 0 <= near[1] < columns and map_[near] > above:
                found.add(near)
                to_do.append(near)
    return np.array(sorted(found), dtype=np.intp)
