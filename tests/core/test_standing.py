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


def test_a_later_answer_that_gives_the_same_name_stays() -> None:
    given = [Wish(1, [1], "robin"), Wish(2, [1], "wren"), Wish(3, [1], "robin")]
    first = Wish(4, [1], takes_back=1, given="robin")
    assert standing({1: None}, [*given, first]) == {1: "robin"}
    others = [Wish(5, [1], takes_back=3, given="robin"), Wish(6, [1], takes_back=2, given="wren")]
    assert standing({1: None}, [*given, first, *others]) == {1: "robin"}
    again = Wish(7, [1], takes_back=1, given="robin")
    assert standing({1: None}, [*given, first, *others, again, again]) == {1: None}
    fulfilled = Wish(9, [1], takes_back=8, before={1: "jay"}, given="robin")
    assert standing({1: "robin"}, [Wish(10, [1], "robin"), fulfilled]) == {1: "robin"}
    assert standing({1: "robin"}, [fulfilled]) == {1: "jay"}
