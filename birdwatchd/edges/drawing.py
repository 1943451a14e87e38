"""The pencil: frames and words on a picture, for people who want to see what the machine saw.

Draws on plain pixels and never opens a file; what comes from outside is read by `images` alone. Every frame and every word has a
dark edge or ground of its own, so that it is seen on snow as well as in a shadow. Thicknesses follow the picture's size.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from birdwatchd.core.photo import Box, Pixels

_MAIN, _OTHER = (255, 176, 0), (86, 216, 255)
"""Orange and sky blue: told apart with every kind of colour blindness."""
_DARK = (16, 16, 16)
_SMALLEST_LETTERS_PX = 12


@dataclass(frozen=True, slots=True)
class Mark:
    """One frame to be drawn.

    Attributes:
        words: beside it.
        main: drawn thicker, in a colour of its own, and last: over all others.
    """

    box: Box
    words: str
    main: bool = False


def drawn(pixels: Pixels, marks: Sequence[Mark]) -> bytes:
    """The picture with its marks, as a PNG; the pixels given stay as they are."""
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    longer_px = max(image.size)
    for mark in sorted(marks, key=lambda mark: mark.main):
        colour = _MAIN if mark.main else _OTHER
        width_px = max(longer_px // (300 if mark.main else 700), 2 if mark.main else 1)
        frame = _frame(mark.box, image.size)
        _draw_frame(pen, frame, colour, width_px)
        letters_px = max(longer_px // (45 if mark.main else 65), _SMALLEST_LETTERS_PX)
        _draw_words(pen, frame, mark.words, colour, letters_px, image.size)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


_Frame = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels; all inside the picture."""


def _frame(box: Box, size_px: tuple[int, int]) -> _Frame:
    def inside(part: float, most: int) -> int:
        return min(max(round(part * most), 0), most - 1)

    width, height = size_px
    left, top = inside(box.x, width), inside(box.y, height)
    return left, top, max(inside(box.x + box.width, width), left), max(inside(box.y + box.height, height), top)


def _draw_frame(pen: ImageDraw.ImageDraw, frame: _Frame, colour: tuple[int, int, int], width_px: int) -> None:
    """A coloured line between two dark ones, from the edge inwards."""
    edge_px = max(width_px // 2, 1)
    left, top, right, bottom = frame
    for inset, line_px, line in (
        (0, width_px + 2 * edge_px, _DARK),
        (edge_px, width_px, colour),
    ):
        if right - left > 2 * inset and bottom - top > 2 * inset:
            pen.rectangle((left + inset, top + inset, right - inset, bottom - inset), outline=line, width=line_px)


def _draw_words(
    pen: ImageDraw.ImageDraw,
    frame: _Frame,
    words: str,
    colour: tuple[int, int, int],
    letters_px: int,
    size_px: tuple[int, int],
) -> None:
    """Above the frame, else below it, else inside; moved until all of it is in the picture, and cut where it is too long."""
    font = ImageFont.load_default(letters_px)
    pad_px = letters_px // 3
    width, height = size_px
    while len(words) > 1 and pen.textlength(words, font=font) + 2 * pad_px > width:
        words = f"{words.rstrip('…')[:-1]}…"
    wide_px, high_px = round(pen.textlength(words, font=font)) + 2 * pad_px, letters_px + 2 * pad_px
    left, top, _, bottom = frame
    at_x = max(min(left, width - wide_px), 0)
    at_y = top - high_px if top >= high_px else bottom + 1 if bottom + high_px < height else top
    pen.rectangle((at_x, at_y, at_x + wide_px, at_y + high_px), fill=_DARK)
    pen.text((at_x + pad_px, at_y + high_px // 2), words, font=font, fill=colour, anchor="lm")
