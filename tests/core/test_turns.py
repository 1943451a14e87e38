"""Whose turn it is at the desk while wishes wait."""

from birdwatchd.core.turns import Wanted, next_in_turn


def said(number: int, *photo_ids: int, takes_back: int | None = None, is_begun: bool = False) -> Wanted:
    return Wanted(number, frozenset(photo_ids), takes_back, is_begun)


def test_the_oldest_comes_first() -> None:
    assert next_in_turn([said(1, 7), said(2, 7)], ()) == 1
    assert next_in_turn([], ()) is None


def test_one_that_waits_holds_up_nobody_who_speaks_of_other_photos() -> None:
    assert next_in_turn([said(1, 7), said(2, 8)], {1}) == 2
    assert next_in_turn([said(1), said(2)], {1}) == 2
    assert next_in_turn([said(1, 7)], {1}) is None


def test_a_later_word_about_the_same_photo_waits_for_the_earlier_one() -> None:
    assert next_in_turn([said(1, 7, 8), said(2, 8, 9)], {1}) is None
    assert next_in_turn([said(1, 7, 8), said(2, 8, 9), said(3, 9)], {1}) is None, "also for one that is held up itself"
    assert next_in_turn([said(1, 7, 8), said(2, 8, 9), said(3, 10)], {1}) == 3


def test_who_takes_back_what_waits_need_not_wait_for_it() -> None:
    assert next_in_turn([said(1, 7, is_begun=True), said(2, 7, takes_back=1)], {1}) == 2
    assert next_in_turn([said(1, 7, is_begun=True), said(2, 7), said(3, 7, takes_back=1)], {1}) is None


def test_what_was_never_begun_can_always_be_called_off() -> None:
    wishes = [said(1, 7, is_begun=True), said(2, 7), said(3, 7, takes_back=2)]
    assert next_in_turn(wishes, {1}) == 3


def test_one_that_takes_back_what_is_fulfilled_waits_like_any_other() -> None:
    assert next_in_turn([said(2, 7), said(3, 7, takes_back=1)], {2}) is None
