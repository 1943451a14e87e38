"""How well the eye sees: not speed, but measured on request all the same."""

import json

from benchmarks.figures import skipped
from benchmarks.folders import bird_folder, command
from tests.pictures import data_folder


def birdness() -> None:
    """How well empty frames are told from birds, on real photos."""
    data = data_folder()
    if data is None:
        skipped("birdness", "no real photos (set BIRDWATCHD_TEST_DATA)")
        return
    with bird_folder() as root:
        for kind, pattern in (
            ("photos without a bird", "scenes/no-bird/*"),
            ("bird crops", "birds/*/*"),
            ("birds in scenes", "scenes/bird/*"),
        ):
            photos = sorted(data.glob(pattern))
            empty = 0
            for begin in range(0, len(photos), 500):
                answers = json.loads(command("classify", "--json", *map(str, photos[begin : begin + 500]), root=root))
                empty += sum(answer["verdict"] == "empty" for answer in answers)
            print(f"{kind}: {empty} of {len(photos)} called empty ({100 * empty / len(photos):.2f} %)")
