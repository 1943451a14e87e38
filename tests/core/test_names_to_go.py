"""How many names are still to be given: the curve, and what is said of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.learning_curve import Forecast, Point, forecast
from birdwatchd.core.meter import meter


def on_a_curve(*labels: int) -> list[Point]:
    """Models whose share of wrong names is 1 by the square root of their names."""
    return [Point(n, 1 - n**-0.5, 100_000) for n in labels]


def test_a_curve_foretells_where_it_reaches_the_goal() -> None:
    told = forecast(on_a_curve(50, 100, 200), 0.95)
    assert told.kind == "to-go"
    assert 195 <= told.more <= 205  # one by the square root of 400 is 5 %


@given(st.lists(st.builds(Point, st.integers(0, 10**6), st.floats(0, 1), st.integers(0, 10**6))), st.floats(0.5, 0.999))
def test_whatever_models_did_something_is_told_and_no_number_is_absurd(points: list[Point], wanted: float) -> None:
    told = forecast(points, wanted)
    assert told.more >= 0
    assert (told.kind == "to-go") == (told.more > 0)
    assert told.more <= 10 * max(told.labels, 1)


@pytest.mark.parametrize(
    ("points", "kind"),
    [
        ([], "untold"),
        (on_a_curve(50, 100), "untold"),
        ([Point(50, 0.5, 20), Point(60, 0.6, 20), Point(70, 0.7, 20)], "untold"),
        ([Point(50, 0.8, 100), Point(100, 0.8, 100), Point(200, 0.8, 100)], "untold"),
        ([Point(50, 0.60, 1000), Point(100, 0.62, 1000), Point(200, 0.65, 1000)], "far"),
        ([*on_a_curve(50, 100), Point(200, 0.96, 100)], "reached"),
    ],
)
def test_nothing_is_foretold_that_cannot_be(points: list[Point], kind: str) -> None:
    assert forecast(points, 0.95).kind == kind


def test_before_anything_can_be_learned_the_missing_names_are_counted() -> None:
    told = meter({"Robin": 7, "Wren": 3}, enough=5, forecast=Forecast("untold", 0), wanted=0.95)
    assert (told.have, told.want, told.sentence) == (8, 10, "2 more names until birdwatchd can learn.")
    assert meter({}, enough=5, forecast=Forecast("untold", 0), wanted=0.95).want == 10
    assert meter({"Robin": 4, "Wren": 9}, enough=5, forecast=Forecast("untold", 0), wanted=0.95).sentence.startswith(
        "1 more name "
    )


def test_what_the_curve_says_is_said_with_what_it_rests_on() -> None:
    named = {"Robin": 60, "Wren": 60, "Jay": 2}
    told = meter(named, enough=5, forecast=Forecast("to-go", 120, 80, 0.9), wanted=0.95)
    assert (told.have, told.want) == (120, 200)
    assert told.sentence == "About 80 more names until 95 % are right."
    assert "90 %" in told.because
    assert told.thin == (("Jay", 3),)
    assert meter(named, enough=5, forecast=Forecast("reached", 120, right=0.97), wanted=0.95).have == 122
    assert meter(named, enough=5, forecast=Forecast("untold", 120), wanted=0.95).want == 0
