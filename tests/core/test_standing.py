"""What photos are called once all open wishes are fulfilled."""

from birdwatchd.core.standing import Wish, standing


def test_the_latest_wish_counts() -> None:
    assert standing({1: None, 2: "jay"}, [Wish(1, [1, 2], "robin"), Wish(2, [1], "wren")]) == {1: "wren", 2: "robin"}


def test_an_open_answer_taken_back_leaves_the_former_name() -> None:
    wishes = [Wish(1, [1, 2], "robin"), Wish(2, [1, 2], takes_back=1, given="robin")]
    assert standing({1: None, 2: "jay"}, wishes) == {1: None, 2: "jay"}


def test_what_was_said_since_stays() -> None:
    wishes = [Wish(1, [1, 2], "robin"), Wish(2, [1], "wren"), Wish(3, [1, 2], takes_back=1, given="robin")]
    assert standing({1: None, 2: None}, wishes) == {1: "wren", 2: None}


def test_a_fulfilled_answer_taken_back_leaves_what_was_before_it() -> None:
    back = Wish(9, [1, 2], takes_back=4, before={1: None, 2: "jay"}, given="robin")
    assert standing({1: "robin", 2: "wren"}, [back]) == {1: None, 2: "wren"}


def test_a_photo_that_cannot_be_named_has_no_name() -> None:
    assert standing({1: None}, [Wish(1, [1, 7], "robin")]) == {1: "robin"}
