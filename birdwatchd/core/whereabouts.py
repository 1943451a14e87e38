"""Where in a picture something is, in words: nobody reads a place out of four numbers."""

from birdwatchd.core.photo import WHOLE_FRAME, Box

_WORDS = (
    ("upper left", "top", "upper right"),
    ("left", "middle", "right"),
    ("lower left", "bottom", "lower right"),
)
"""By rows and columns: the picture in nine parts."""


def in_words(box: Box) -> str:
    """Where the middle of a part lies, and how wide it is: `upper left, 12 % of the width`."""
    if box == WHOLE_FRAME:
        return "the whole picture"
    row, column = _third(box.y + box.height / 2), _third(box.x + box.width / 2)
    return f"{_WORDS[row][column]}, {100 * box.width:.0f} % of the width"


def _third(middle: float) -> int:
    """The first, second or last third of 0–1; what lies outside counts to the nearest."""
    return min(max(int(3 * middle), 0), 2)
