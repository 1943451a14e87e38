"""Plots for the page about a training, as SVG that stands in the page itself: sharp on every screen, in the page's own colours.

matplotlib draws with stand-in colours, for which the page's variables are put in afterwards: so light and dark are the page's choice.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from birdwatchd.core.gate import wilson
from birdwatchd.core.job import Epoch

INK, MUTED, LINE, RIGHT, WRONG, OTHER, PAPER = (f"#0a0b0{number}" for number in range(1, 8))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    RIGHT: "var(--right)",
    WRONG: "var(--wrong)",
    OTHER: "var(--other)",
    PAPER: "var(--paper)",
}

MOST_WITH_NUMBERS = 14
"""Species up to which every cell of the table of mix-ups has its number; of more, only what is wrong has."""

READABLE_ON = 0.7
"""Cells of the table of mix-ups that are filled more strongly than this get numbers in the colour of the page."""

BINS = 10

_STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollar signs
    "axes.unicode_minus": False,
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def balance(parts: Mapping[str, Sequence[int]], names: Sequence[str]) -> str:
    """How many photos there are of each species.

    Args:
        parts: what is done with them, such as "learned from", each with a number for each name.
    """
    with _drawing("balance", 7.0, 0.9 + 0.24 * len(names)) as (figure, axes, done):
        left = np.zeros(len(names))
        for (part, counts), colour in zip(parts.items(), (RIGHT, OTHER, WRONG), strict=False):
            axes.barh(range(len(names)), counts, left=left, color=colour, height=0.72, label=part)
            left += np.asarray(counts, dtype=float)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.set_xlabel("photos")
        figure.legend(loc="outside upper left", ncols=3)
    return done()


def mix_ups(counts: npt.NDArray[np.intp], names: Sequence[str]) -> str:
    """What each species was taken for: rows are what people say, columns what the model says. Only cells that are not 0 are drawn."""
    side = max(3.6, 1.6 + 0.27 * len(names))
    with _drawing("mix-ups", side, side) as (_, axes, done):
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        for row, column in np.argwhere(counts > 0).tolist():
            is_right = row == column
            colour, strength = (RIGHT if is_right else WRONG), 0.35 + 0.65 * float(share[row, column])
            axes.add_patch(
                mpl.patches.Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=strength, linewidth=0)
            )
            if len(names) <= MOST_WITH_NUMBERS or not is_right:
                ink = PAPER if strength > READABLE_ON else INK
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=9, color=ink)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_xlabel("the model says")
        axes.set_ylabel("you say")
        axes.grid(visible=True, color=LINE, linewidth=0.4, alpha=0.6)
        axes.set_axisbelow(True)
    return done()


def trust(certainty: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> str:
    """How often the model is right when it says how sure it is; with 95 % intervals, and how often it is how sure."""
    with _drawing("trust", 5.2, 4.0) as (_, axes, done):
        of = np.minimum((certainty * BINS).astype(int), BINS - 1)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for one in np.unique(of).tolist():
            hits, n = int(right[of == one].sum()), int((of == one).sum())
            low, high = wilson(hits, n)
            at = float(certainty[of == one].mean())
            axes.plot([at, at], [low, high], color=RIGHT, linewidth=1.5, alpha=0.6)
            axes.plot([at], [hits / n], marker="o", color=RIGHT, markersize=7)
            axes.annotate(str(n), (at, low), xytext=(0, -11), textcoords="offset points", ha="center", fontsize=8)
        axes.set_xlim(0, 1.03)
        axes.set_ylim(-0.08, 1.03)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel("so sure it said it was")
        axes.set_ylabel("so often it was right")
    return done()


def curves(epochs: Sequence[Epoch]) -> str:
    """How the training went, round by round."""
    with _drawing("curves", 6.4, 3.4) as (figure, axes, done):
        rounds = [one.number for one in epochs]
        axes.plot(
            rounds, [one.train_loss for one in epochs], color=OTHER, marker="o", label="loss, photos learned from"
        )
        axes.plot(rounds, [one.valid_loss for one in epochs], color=RIGHT, marker="o", label="loss, other photos")
        axes.set_xlabel("round through all photos")
        axes.set_ylabel("loss")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        beside = axes.twinx()
        beside.plot(
            rounds, [one.error_rate for one in epochs], color=WRONG, marker="s", linestyle="--", label="wrong names"
        )
        beside.set_ylim(0, max(0.05, *(1.1 * one.error_rate for one in epochs)))
        beside.yaxis.set_major_formatter(PercentFormatter(1))
        beside.set_ylabel("wrong names")
        beside.spines["right"].set_visible(True)
        figure.legend(loc="outside upper left", ncols=3, fontsize=9)
    return done()


class _Done:
    """The finished drawing; to be called after the `with`."""

    text = ""

    def __call__(self) -> str:
        return self.text


@contextmanager
def _drawing(name: str, width_in: float, height_in: float) -> Iterator[tuple[Figure, Axes, _Done]]:
    done = _Done()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks: the reader's browser has them
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        yield figure, figure.add_subplot(), done
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None})
    done.text = _as_part_of_a_page(out.getvalue(), name)


def _as_part_of_a_page(svg: str, name: str) -> str:
    """Without what only a file of its own needs, which is also all that names other places; in the page's colours and letters."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    head, tail = svg.split(">", 1)
    width = re.search(r'width="([\d.]+)pt"', head)
    head = re.sub(r' (xmlns(:\w+)?|version|width|height)="[^"]*"', "", head)
    tail = re.sub(
        r"font(-family)?: ([\d.]+px )?[^;\"]*DejaVu[^;\"]*", lambda found: f"font-size: {found[2] or ''}".rstrip(), tail
    )
    tail = re.sub(
        r'id="((?:figure|axes|patch|text|line2d|legend|matplotlib|xtick|ytick|LineCollection)[\w.]*)"',
        f'id="{name}-\\1"',
        tail,
    )
    for stand_in, variable in _VARIABLES.items():
        tail = tail.replace(stand_in, variable)
    points = float(width[1]) if width else 500.0
    return f'{head} style="max-width: {points * 4 / 3:.0f}px; min-width: {min(points, 620.0):.0f}px">{tail}'
