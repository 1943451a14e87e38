"""The bare loop: read, decode, look, one photo after the other. `python -m benchmarks.children.bare MODELS`; see `benchmarks.loops`."""

import json
import sys
import time
from pathlib import Path

from birdwatchd.core.detecting import DETAIL_PX
from birdwatchd.edges.images import Limits, decode
from birdwatchd.edges.vision import Spotter


def main(models: Path) -> None:
    """Answer until nobody asks any more."""
    spotter = Spotter.load(models, providers=("cpu",))
    limits = Limits(max_megapixels=40, formats=frozenset({"jpeg"}))
    size_px = spotter.recipe.size_px
    print("ready", flush=True)
    for line in sys.stdin:
        took: list[float] = []
        for photo in json.loads(line):
            begun = time.perf_counter()
            spotter.find(decode(Path(photo).read_bytes(), limits, view_px=size_px, detail_px=DETAIL_PX))
            took.append(time.perf_counter() - begun)
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
