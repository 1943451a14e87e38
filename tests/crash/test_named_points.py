"""Deaths with a name: what is found after each, and what the next start makes of it.

The table is the protocol, read from its broken ends. Three photos come: a bird, an empty frame, and a cut file; they become one in
review, one in empty, one in quarantine with a note.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import books
from tests.crash import lives
from tests.crash.launching import fault
from tests.crash.nursery import Nursery
from tests.pictures import jpeg, png


def three() -> dict[str, bytes]:
    """One for each kind of shelf."""
    return {
        "bird.jpg": jpeg(width=64, height=64, seed=1),
        "dark.png": lives.dark(),
        "cut.png": png(width=64, height=64, seed=3)[:900],
    }


@dataclass(frozen=True)
class Found:
    """How the folder looks after a death.

    Attributes:
        inbox: photos under their own names; hidden: originals under the name of a claim; parts: unfinished copies.
        work: photos in the work folder; shelved: photos in their places; notes: beside those in quarantine.
        claimed, decided, at_rest: rows by state.
        judged: predictions.
    """

    inbox: int = 0
    hidden: int = 0
    parts: int = 0
    work: int = 0
    shelved: int = 0
    notes: int = 0
    claimed: int = 0
    decided: int = 0
    at_rest: int = 0
    judged: int = 0


@dataclass(frozen=True)
class Death:
    """One line of the table.

    Attributes:
        fault: what kills, for `tests.crash.launching`.
        found: what lies there afterwards.
        then: what the next start does, in words.
        looks: whether the next start may look at pictures; False where every fate was fixed before.
    """

    fault: str
    found: Found
    then: str
    looks: bool = True


ONE_DISK = {
    "before_claim_row": Death("die-before record_claims 1", Found(inbox=3), "nothing to repair; they are taken as new"),
    "after_claim_row": Death(
        "die-after record_claims 1", Found(inbox=3, claimed=3), "the rows are withdrawn; they are taken as new"
    ),
    "after_claim_rename": Death(
        "die-after claim 1",
        Found(inbox=2, work=1, claimed=3),
        "the one in the work folder goes on, the rows of the others are withdrawn and they are taken as new",
    ),
    "all_claimed": Death("die-before sync 1", Found(work=3, claimed=3), "all go on from the work folder"),
    "before_decision": Death(
        "die-before record_decisions 1", Found(work=3, claimed=3), "they are looked at once more: a look leaves nothing"
    ),
    "after_decision": Death(
        "die-after record_decisions 1",
        Found(work=3, decided=3, judged=2),
        "they are moved to where the log says, without another look",
        looks=False,
    ),
    "after_first_move": Death(
        "die-after place 1",
        Found(work=2, shelved=1, decided=3, judged=2),
        "one is found in its place, the others are moved",
        looks=False,
    ),
    "before_note": Death(
        "die-before write_sidecar 1",
        Found(work=1, shelved=2, decided=3, judged=2),
        "the note is written, the last one is moved",
        looks=False,
    ),
    "after_last_move": Death(
        "die-after place 3",
        Found(shelved=3, notes=1, decided=3, judged=2),
        "all are found in their places; they get their receipts",
        looks=False,
    ),
    "before_receipt": Death(
        "die-before record_receipts 1",
        Found(shelved=3, notes=1, decided=3, judged=2),
        "the same, with the moves already synced",
        looks=False,
    ),
    "after_receipt": Death(
        "die-after record_receipts 1", Found(shelved=3, notes=1, at_rest=3, judged=2), "nothing to repair", looks=False
    ),
}

# The first rename of a claim from another disk is the one that fails with EXDEV.
TWO_DISKS = {
    "after_hiding": Death(
        "die-after rename 2", Found(inbox=2, hidden=1, claimed=3), "the original gets its name back and is taken as new"
    ),
    "before_copy_is_named": Death(
        "die-after copy 1",
        Found(inbox=2, hidden=1, parts=1, claimed=3),
        "the unfinished copy is thrown away, the original gets its name back",
    ),
    "after_copy": Death(
        "die-after rename 3",
        Found(inbox=2, hidden=1, work=1, claimed=3),
        "the copy is whole: the original is compared with it and removed",
    ),
    "after_original_removed": Death(
        "die-after claim 1", Found(inbox=2, work=1, claimed=3), "the copy goes on; the others are taken as new"
    ),
    "all_claimed": Death("die-before sync 1", Found(work=3, claimed=3), "all go on from the work folder"),
    "after_decision": Death(
        "die-after record_decisions 1",
        Found(work=3, decided=3, judged=2),
        "they are moved, without another look",
        looks=False,
    ),
}


def find(root: Path) -> Found:
    """What lies there."""
    inbox = Counter(path.name.startswith(".birdwatchd-") for path in (root / "inbox").iterdir())
    work = Counter(path.suffix == ".part" for path in (root / ".birdwatchd" / "work").iterdir())
    states = Counter(row["state"] for row in lives.rows(root, "SELECT state FROM photos"))
    return Found(
        inbox=inbox[False],
        hidden=inbox[True],
        parts=work[True],
        work=work[False],
        shelved=len(books.files_in(root, *books.RESTING)),
        notes=len(list((root / "quarantine").rglob("*.json"))),
        claimed=states.pop("claimed", 0),
        decided=states.pop("decided", 0),
        at_rest=states.total(),
        judged=len(lives.judged(root)),
    )


@contextlib.contextmanager
def three_in_a_folder(root: Path, disks: str) -> Iterator[Counter[str]]:
    """A bird folder with the three in its inbox."""
    lives.new_folder(root)
    with lives.inbox_on_another_disk(root) if disks == "two disks" else contextlib.nullcontext():
        yield lives.drop(root, three())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """One for all of them."""
    with contextlib.closing(Nursery()) as open_nursery:
        yield open_nursery


DEATHS = [("one disk", name, death) for name, death in ONE_DISK.items()]
DEATHS += [("two disks", name, death) for name, death in TWO_DISKS.items()]


@pytest.mark.fault("C04")
@pytest.mark.parametrize(
    ("disks", "death"),
    [(disks, death) for disks, _, death in DEATHS],
    ids=[f"{name}, {disks}" for disks, name, _ in DEATHS],
)
def test_after_a_death_at_a_named_point_the_next_start_puts_all_right(
    tmp_path: Path, nursery: Nursery, disks: str, death: Death
) -> None:
    if disks == "two disks":
        lives.need_root("an inbox on another disk")
    root = tmp_path / "birdwatch"
    with three_in_a_folder(root, disks) as dropped:
        assert lives.live(root, nursery=nursery, environment=fault(death.fault)).code == -9, "it died"
        assert find(root) == death.found
        books.check(root, lives.with_open_copies(root, dropped), settled=False)
        judged = lives.judged(root)

        blind = fault() if death.looks else fault("die-before decode 1")
        lives.recover(root, nursery=nursery, environment=blind)

        books.check(root, dropped)
        assert find(root) == Found(shelved=3, notes=1, at_rest=3, judged=2), death.then
        assert [one for one in lives.judged(root) if one in judged] == judged, "what was decided stays decided"
        assert lives.litter(root) == []
        shelves = {path.split("/")[0] for path in books.files_in(root, *books.RESTING)}
        assert shelves == {"review", "empty", "quarantine"}
