"""Places in a picture, in words."""

import pytest

from birdwatchd.core.photo import WHOLE_FRAME, Box
from birdwatchd.core.whereabouts import in_words


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (Box(0.05, 0.05, 0.12, 0.2), "upper left, 12 % of the width"),
        (Box(0.4, 0.0, 0.2, 0.2), "top, 20 % of the width"),
        (Box(0.9, 0.0, 0.1, 0.1), "upper right, 10 % of the width"),
        (Box(0.0, 0.4, 0.2, 0.2), "left, 20 % of the width"),
        (Box(0.25, 0.25, 0.5, 0.5), "middle, 50 % of the width"),
        (Box(0.7, 0.4, 0.2, 0.2), "right, 20 % of the width"),
        (Box(0.0, 0.8, 0.2, 0.2), "lower left, 20 % of the width"),
        (Box(0.4, 0.8, 0.2, 0.2), "bottom, 20 % of the width"),
        (Box(0.8, 0.8, 0.2, 0.2), "lower right, 20 % of the width"),
        (WHOLE_FRAME, "the whole picture"),
        (Box(1.0, 1.0, 0.0, 0.0), "lower right, 0 % of the width"),
        (Box(-0.2, -0.2, 0.1, 0.1), "upper left, 10 % of the width"),
    ],
)
def test_a_place_is_told_by_the_nine_parts_of_a_picture(box: Box, said: str) -> None:
    assert in_words(box) == said
