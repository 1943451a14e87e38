"""The catalogue itself."""

import re
from pathlib import Path

from tests.faults.catalogue import ROWS


def test_every_row_of_the_catalogue_has_a_test() -> None:
    named: set[str] = set()
    for file in Path(__file__).parents[1].rglob("test_*.py"):
        for mark in re.findall(r"mark\.fault\(([^)]*)\)", file.read_text(encoding="utf-8")):
            named |= set(re.findall(r'"([A-Z][0-9]{2})"', mark))
    assert named - ROWS.keys() == set(), "marks that mean no row"
    assert ROWS.keys() - named == set(), "rows without a test"
