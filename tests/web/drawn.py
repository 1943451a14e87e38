"""Drawn birds, for pictures of the page that may be shown to everybody: photos belong to those who took them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]

SIDE_PX = 480


@dataclass(frozen=True)
class Plumage:
    """Colours of a species as a child would paint it."""

    back: Colour
    breast: Colour
    cap: Colour
    throat: Colour
    beak: Colour
    wing: Colour
    size: float = 1.0


PLUMAGES = {
    "blackbird": Plumage((30, 28, 30), (34, 32, 34), (26, 25, 27), (30, 28, 30), (240, 160, 30), (20, 19, 21), 1.1),
    "blue-tit": Plumage(
        (110, 150, 90), (240, 215, 70), (60, 110, 190), (245, 245, 240), (60, 60, 60), (70, 120, 190), 0.85
    ),
    "bullfinch": Plumage((120, 125, 135), (225, 95, 80), (25, 25, 30), (225, 95, 80), (35, 35, 35), (30, 30, 38)),
    "greenfinch": Plumage(
        (120, 150, 60), (165, 185, 70), (115, 145, 60), (165, 185, 70), (225, 190, 160), (90, 110, 50)
    ),
    "robin": Plumage(
        (130, 105, 75), (235, 225, 205), (130, 105, 75), (225, 105, 40), (50, 45, 40), (110, 90, 65), 0.95
    ),
    "magpie": Plumage((25, 28, 40), (245, 245, 245), (20, 20, 26), (20, 20, 26), (30, 30, 30), (40, 70, 130), 1.2),
    "goldfinch": Plumage(
        (190, 150, 100), (235, 220, 200), (200, 30, 40), (240, 235, 230), (235, 205, 180), (235, 195, 40), 0.9
    ),
}


def draw_tree(place: Path, species: Iterable[str], *, each: int, bare: int) -> Path:
    """A folder like that of the real photos: `birds/SPECIES` with so many of each, and gardens without a bird in `scenes/no-bird`."""
    for row, name in enumerate(species):
        (place / "birds" / name).mkdir(parents=True)
        for number in range(each):
            image = draw(name, np.random.default_rng([row, number]))
            image.save(place / "birds" / name / f"{number:03d}.jpg", quality=90)
    (place / "scenes" / "no-bird").mkdir(parents=True)
    for number in range(bare):
        image = _garden(np.random.default_rng([number]), SIDE_PX)
        image.save(place / "scenes" / "no-bird" / f"{number:03d}.jpg", quality=90)
    return place


def draw(species: str, chance: np.random.Generator, side: int = SIDE_PX) -> Image.Image:
    """A bird of that species on a twig, never twice the same."""
    big = side * 2
    ground = _garden(chance, big)
    pen = ImageDraw.Draw(ground)
    twig_y = big * chance.uniform(0.70, 0.78)
    tilt = chance.uniform(-0.06, 0.06)
    pen.line(
        [(0, twig_y - tilt * big), (big, twig_y + tilt * big)], fill=_shade((95, 75, 55), chance), width=int(big * 0.03)
    )
    bird = _bird(PLUMAGES[species], chance, big)
    if chance.random() < 0.5:
        bird = bird.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    x = int(big * chance.uniform(-0.08, 0.08))
    ground.paste(bird, (x, int(twig_y - big * 0.755)), bird)
    ground = ground.resize((side, side), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.6))
    grain = chance.normal(0, 4, (side, side, 3))
    return Image.fromarray(np.clip(np.asarray(ground, dtype=np.float32) + grain, 0, 255).astype(np.uint8))


def _garden(chance: np.random.Generator, side: int) -> Image.Image:
    base = [(150, 185, 130), (120, 160, 115), (170, 195, 215), (190, 180, 150), (135, 170, 160)][chance.integers(5)]
    small = np.asarray(base, dtype=np.float32) + chance.normal(0, 38, (6, 6, 1)) + chance.normal(0, 12, (6, 6, 3))
    image = Image.fromarray(np.clip(small, 0, 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(side / 30))


def _shade(colour: Colour, chance: np.random.Generator) -> Colour:
    by = chance.uniform(0.85, 1.15)
    red, green, blue = (int(min(255, part * by)) for part in colour)
    return red, green, blue


def _bird(look: Plumage, chance: np.random.Generator, side: int) -> Image.Image:
    layer = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    unit = side * 0.26 * look.size
    cx, cy = side * 0.5, side * 0.755 - unit * 0.95
    lean = chance.uniform(0.25, 0.5)

    def spot(x: float, y: float) -> tuple[float, float]:
        return cx + unit * (x * math.cos(lean) + y * math.sin(lean)), cy + unit * (
            y * math.cos(lean) - x * math.sin(lean)
        )

    def blob(x: float, y: float, wide: float, high: float, colour: Colour, turn: float = 0.0) -> None:
        ring = []
        for step in range(60):
            at = 2 * math.pi * step / 60
            px, py = wide * math.cos(at), high * math.sin(at)
            ring.append(
                spot(x + px * math.cos(turn) - py * math.sin(turn), y + px * math.sin(turn) + py * math.cos(turn))
            )
        pen.polygon(ring, fill=_shade(colour, chance))

    for foot in (-0.1, 0.12):
        pen.line(
            [spot(foot, 0.6), (cx + unit * (foot + 0.25), cy + unit * 1.0)],
            fill=(90, 70, 60),
            width=max(3, int(unit * 0.05)),
        )
    pen.polygon(
        [spot(-0.75, -0.12), spot(-1.75, 0.02), spot(-1.72, 0.2), spot(-0.6, 0.25)], fill=_shade(look.wing, chance)
    )
    blob(0, 0, 1.0, 0.62, look.back)
    blob(0.12, 0.17, 0.82, 0.46, look.breast)
    x, y = 0.82 + chance.uniform(-0.05, 0.05), -0.52  # the middle of the head
    beak = [spot(x + 0.36, y - 0.1), spot(x + 0.75, y + 0.06), spot(x + 0.34, y + 0.16)]
    pen.polygon(beak, fill=_shade(look.beak, chance))
    blob(x - 0.12, y + 0.3, 0.42, 0.4, look.throat)
    blob(x, y, 0.42, 0.4, look.throat)
    blob(x - 0.06, y - 0.1, 0.4, 0.3, look.cap)
    blob(-0.28, -0.02, 0.72, 0.3, look.wing, 0.12)
    for feather in range(4):
        line = [spot(-0.85, -0.1 + 0.1 * feather), spot(-0.1 + 0.1 * feather, -0.12 + 0.1 * feather)]
        pen.line(line, fill=_shade(look.back, chance), width=max(2, int(unit * 0.025)))
    eye = spot(x + 0.12, y - 0.04)
    r = unit * 0.075
    pen.ellipse([eye[0] - r, eye[1] - r, eye[0] + r, eye[1] + r], fill=(15, 12, 12))
    g = r * 0.35
    pen.ellipse([eye[0] - g, eye[1] - g - r * 0.3, eye[0] + g * 0.6, eye[1] + g * 0.6 - r * 0.3], fill=(250, 250, 250))
    return layer.filter(ImageFilter.GaussianBlur(side / 500))
