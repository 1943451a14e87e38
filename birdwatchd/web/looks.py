"""What photos look like to the spotter, kept in memory for a while: an embedding never changes, and reading 1,500 takes its time."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from birdwatchd.core import grouping
from birdwatchd.core.grouping import Features
from birdwatchd.edges.store import Store

KEPT = 3000
"""So many photos are remembered; each takes 2.5 kB."""

AT_ONCE = 250

Key = tuple[int, str]


class Looks:
    """A memory of features; for one thread at a time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, npt.NDArray[np.float16]] = OrderedDict()

    def of(self, store: Store, photo_ids: Sequence[int], spotter_id: str) -> tuple[list[int], Features]:
        """Those of these photos that the spotter has seen, and their features in the same order."""
        missing = [one for one in photo_ids if (one, spotter_id) not in self._kept]
        for begin in range(0, len(missing), AT_ONCE):
            read = store.answers.embeddings(missing[begin : begin + AT_ONCE], spotter_id)
            if read:
                vectors = np.stack([np.frombuffer(vector, "<f4") for vector in read.values()])
                for photo_id, row in zip(read, grouping.features(vectors).astype(np.float16), strict=True):
                    self._kept[photo_id, spotter_id] = row.copy()  # a row of its own keeps no others alive
        found = [one for one in photo_ids if (one, spotter_id) in self._kept]
        together = np.empty((len(found), len(self._kept[found[0], spotter_id]) if found else 1), np.float32)
        for place, one in enumerate(found):
            together[place] = self._kept[one, spotter_id]
            self._kept.move_to_end((one, spotter_id))
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found, together
