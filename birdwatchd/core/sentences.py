"""Sentences about trainings as people read them. The log, files and commands keep the labels in them, which are folders' names; a page
shows "It is better at House finch" for "It is better at house-finch".

A label is known by where it stands: `core/gate.py` and `dataset.py` put labels behind a few words only, and before a few others. So a
bird that somebody calls `old` or `it` is left alone wherever those words are plain English.
"""

import re
from collections.abc import Callable, Collection
from functools import lru_cache

_BEFORE = ("knows ", "at ", "of ", "saying ", "called ", "far: ", ", ", " and ", "; ")
_BEHIND = r"(?=$|[,.;]|(?: and| is| are| it names| wrong| now)\b| \d+(?:[,)]|$))"


def with_names(sentence: str, labels: Collection[str], name: Callable[[str], str]) -> str:
    """The sentence with the names of birds in place of their labels.

    Args:
        labels: all that it may speak of.
        name: what people want to read for a label.
    """
    if not labels:
        return sentence
    return _places(frozenset(labels)).sub(lambda found: name(found[0]), sentence)


@lru_cache(maxsize=8)
def _places(labels: frozenset[str]) -> re.Pattern[str]:
    before = "|".join(f"(?<={re.escape(words)})" for words in _BEFORE)
    longest_first = sorted(labels, key=lambda label: (-len(label), label))
    return re.compile(f"(?:{before})(?:{'|'.join(map(re.escape, longest_first))}){_BEHIND}")
