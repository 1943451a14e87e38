"""The states of a photo and the only legal steps between them."""

from birdwatchd.core.journey import NEXT, SETTLED_STATES, may_become
from birdwatchd.core.photo import State


def reachable(start: State) -> set[State]:
    found, pending = {start}, [start]
    while pending:
        for state in NEXT[pending.pop()] - found:
            found.add(state)
            pending.append(state)
    return found


def test_every_state_has_its_next_steps_and_none_is_a_dead_end() -> None:
    assert set(NEXT) == set(State)
    assert all(NEXT.values())


def test_every_state_can_be_reached_from_a_claim() -> None:
    assert reachable(State.CLAIMED) == set(State)


def test_nothing_rests_without_a_decision() -> None:
    assert {state for state in State if may_become(state, State.DECIDED)} == {State.CLAIMED}
    assert not any(may_become(State.CLAIMED, state) for state in SETTLED_STATES)


def test_a_decision_is_never_taken_back_to_a_claim() -> None:
    assert not any(may_become(state, State.CLAIMED) for state in State)
    assert reachable(State.DECIDED) == SETTLED_STATES | {State.DECIDED, State.MISSING}


def test_a_humans_word_moves_a_photo_among_library_review_and_empty_only() -> None:
    movable = {State.FILED, State.REVIEW, State.EMPTY}
    for state in movable:
        assert NEXT[state] == movable | {State.MISSING}
    assert NEXT[State.QUARANTINED] == NEXT[State.DUPLICATE] == {State.MISSING}


def test_a_photo_that_came_back_can_be_kept_again() -> None:
    assert may_become(State.MISSING, State.FILED)
    assert not may_become(State.MISSING, State.QUARANTINED)
