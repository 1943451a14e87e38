"""The loop of a fastai user, for the interpreter of the full install: `python fastai_user.py FOLDER`; see `benchmarks.loops`.

FOLDER/photos/SPECIES/*.jpg is what its learner is made from. It is not trained: that changes the answers, not what they cost.
"""

import importlib
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any


def main(folder: Path) -> None:
    """Answer until nobody asks any more."""
    warnings.simplefilter("ignore")
    vision: Any = importlib.import_module("fastai.vision.all")  # not there when this file is checked
    loaders = vision.ImageDataLoaders.from_folder(
        folder / "photos", valid_pct=0.2, seed=1, item_tfms=vision.Resize(224), bs=4, num_workers=0
    )
    vision.vision_learner(loaders, vision.resnet18, pretrained=False).export(folder / "exported.pkl")
    learn = vision.load_learner(folder / "exported.pkl")
    with learn.no_bar():
        learn.predict(vision.PILImage.create(next(folder.glob("photos/*/*.jpg"))))  # the first one is slower
        print("ready", flush=True)
        for line in sys.stdin:
            took: list[float] = []
            for photo in json.loads(line):
                begun = time.perf_counter()
                learn.predict(vision.PILImage.create(photo))
                took.append(time.perf_counter() - begun)
            print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
