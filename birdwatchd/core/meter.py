"""How many names are still to be given, in words: until anything can be learned, and until it is right as often as wanted."""

from collections.abc import Mapping
from dataclasses import dataclass

from birdwatchd.core.learning_curve import Forecast

KINDS_NEEDED = 2
MOST_TOLD = 6


@dataclass(frozen=True, slots=True)
class Meter:
    """What the page shows.

    Attributes:
        have, want: of names; equal when nothing is missing, and both 0 where no number can be told.
        sentence: what is missing, or that nothing is.
        because: what that rests on.
        thin: species with too few names to be learned, by name, and how many more each needs.
    """

    have: int
    want: int
    sentence: str
    because: str
    thin: tuple[tuple[str, int], ...]


def needed(enough: int) -> str:
    """What must have a name before anything can be learned, in words.

    Args:
        enough: so many names a species needs to be learned; `min_labels_per_species` of the settings.
    """
    return f"{enough} photos of each of two species"


def meter(named: Mapping[str, int], *, enough: int, forecast: Forecast, wanted: float) -> Meter:
    """Put it in words.

    Args:
        named: for each species, as it is shown, how many photos people have named.
        enough: so many names a species needs to be learned.
        wanted: the share of right names that people want, 0-1.
    """
    thin = tuple(
        sorted(((name, enough - n) for name, n in named.items() if n < enough), key=lambda one: (one[1], one[0]))
    )
    best = sorted(named.values(), reverse=True)
    missing = sum(max(0, enough - n) for n in [*best, *[0] * KINDS_NEEDED][:KINDS_NEEDED])
    if missing:
        return Meter(
            KINDS_NEEDED * enough - missing,
            KINDS_NEEDED * enough,
            f"{missing} more {_names(missing)} until birdwatchd can learn.",
            f"It begins once {needed(enough)} have a name.",
            thin,
        )
    total = sum(named.values())
    goal = f"{wanted:.0%}".replace("%", " %")
    latest = "" if forecast.right is None else f"{forecast.right:.0%}".replace("%", " %")
    match forecast.kind:
        case "reached":
            sentence = f"The goal of {goal} right names is reached."
            because = f"The newest model named {latest} of the photos that judged it right, with {forecast.labels} names to learn from."
            return Meter(total, total, sentence, because, thin)
        case "to-go":
            sentence = f"About {forecast.more} more {_names(forecast.more)} until {goal} are right."
            because = f"Foretold from how models did with fewer names; the newest, with {forecast.labels}, was right in {latest}."
            return Meter(forecast.labels, forecast.labels + forecast.more, sentence, because, thin)
        case "far":
            sentence = f"It takes many more names until {goal} are right; how many cannot be told yet."
            because = f"The newest model, with {forecast.labels} names, was right in {latest}."
            return Meter(0, 0, sentence, because, thin)
        case _:
            able = sum(n >= enough for n in named.values())
            sentence = f"{total} photos have a name from you; {able} species can be learned from them."
            because = (
                "How many more are needed can be told once three models have learned from different numbers of names."
            )
            if latest:
                because = f"The newest model was right in {latest}; the goal is {goal}. {because}"
            return Meter(0, 0, sentence, because, thin)


def _names(number: int) -> str:
    return "name" if number == 1 else "names"
