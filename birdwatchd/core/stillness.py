"""Frames of one camera and one day in, those whose "bird" is a decoy, a knot-hole or a feeder out.

A bird that is often at the feeder must not be taken for one. So all of this is asked for: the box of the bird, which is no whole frame,
lies at the same place (SAME_PLACE) and shows the very same picture (`splits.SAME_SCENE`) in nearly every frame (NEARLY_ALL) of at least
FEWEST, over at least LONGEST_SIT. A bird comes and goes; it turns, and is nearer or farther, and then its box or what the spotter
sees in it is another. What a thing loses by this is a day with much sun and shade: then it stays what it was taken for.

A bird that sits as still as a thing for hours, such as a brooding one, is taken for one; until a person names one of its photos, which
gives back all of them. So does the rest of the day, when it shows that it was there for some time only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from birdwatchd.core.photo import Box, Vector
from birdwatchd.core.splits import SAME_SCENE

FEWEST = 8
NEARLY_ALL = 0.9
LONGEST_SIT = timedelta(hours=1)

SAME_PLACE = 0.7
"""What two boxes have in common, as a share of what they cover together (intersection over union)."""

WHOLE_FROM = 0.9
"""A box that is so wide or high is the frame itself: it tells nothing of a place."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A photo, and where the main bird is in it.

    Attributes:
        taken: by the camera's clock.
        is_a_bird: a person has said so.
    """

    photo_id: int
    taken: datetime
    box: Box
    is_a_bird: bool = False


def at_one_place(frames: Sequence[Frame]) -> list[int]:
    """Photos whose box lies where nearly all boxes of the day lie; empty on almost every day, and cheap to know."""
    near = _near_one_another([frame.box for frame in frames])
    crowded = near.sum(axis=1) >= _enough(frames)
    return [frames[place].photo_id for place in np.flatnonzero(near[crowded].any(axis=0)).tolist()]


def standing_still(frames: Sequence[Frame], embeddings: Mapping[int, Vector]) -> frozenset[int]:
    """Photos that show what stands still in nearly every frame of the day.

    Args:
        frames: of one camera and one day, also those without a bird, or seen by another spotter (as whole frames).
        embeddings: as the spotter saw the birds of `at_one_place`; a photo without one is like no other.
    """
    here = [frame for frame in frames if frame.photo_id in embeddings]
    if len(here) < _enough(frames):
        return frozenset()
    looks = np.sqrt(np.maximum(np.stack([embeddings[frame.photo_id] for frame in here]), 0))
    lengths = np.linalg.norm(looks, axis=1, keepdims=True)
    looks = looks / np.where(lengths > 0, lengths, 1)
    same = _near_one_another([frame.box for frame in here]) & (looks @ looks.T > SAME_SCENE)
    best = int(same.sum(axis=1).argmax())
    members = [here[place] for place in np.flatnonzero(same[best]).tolist()]
    if len(members) < _enough(frames) or any(frame.is_a_bird for frame in members):
        return frozenset()
    taken = [frame.taken for frame in members]
    if max(taken) - min(taken) < LONGEST_SIT:
        return frozenset()
    return frozenset(frame.photo_id for frame in members)


def _enough(frames: Sequence[Frame]) -> float:
    return max(FEWEST, NEARLY_ALL * len(frames))


def _near_one_another(boxes: Sequence[Box]) -> npt.NDArray[np.bool_]:
    """Which of them lie at the same place; shape (N, N). A whole frame lies nowhere."""
    sides = np.array([(box.x, box.y, box.width, box.height) for box in boxes], dtype=np.float32).reshape(-1, 4)
    left, top, width, height = sides.T
    across = np.minimum.outer(left + width, left + width) - np.maximum.outer(left, left)
    down = np.minimum.outer(top + height, top + height) - np.maximum.outer(top, top)
    shared = np.maximum(across, 0) * np.maximum(down, 0)
    area = width * height
    is_part = (width < WHOLE_FROM) & (height < WHOLE_FROM) & (area > 0)
    covered = np.add.outer(area, area) - shared
    near: npt.NDArray[np.bool_] = (shared >= SAME_PLACE * covered) & np.logical_and.outer(is_part, is_part)
    return near
