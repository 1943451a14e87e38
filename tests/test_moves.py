"""The folder is the label editor: what people say by moving photos, on real folders and a real log."""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.core import shelving
from birdwatchd.core.deciding import Rules
from birdwatchd.core.errors import DiskTrouble, ModelError, StoreBusy
from birdwatchd.core.intake import is_ignored
from birdwatchd.core.journey import Move
from birdwatchd.core.photo import State
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import Files
from birdwatchd.edges.images import Limits
from birdwatchd.edges.store import MovedByHand, Said, Store
from birdwatchd.examining import Examiner
from birdwatchd.keeping import make_backup
from birdwatchd.noticing import AGAIN_S, QUIET_S, RETRY_S, Noticing
from birdwatchd.pipeline import BATCH_PHOTOS, Pipeline
from birdwatchd.restoring import restore
from tests import books
from tests.crash.dying import Death, Dying, Fate, make_hands_mortal
from tests.fakes import StubSpotter
from tests.pictures import jpeg

SETTLE_S = 2.0
UNFINISHED_S = 600.0
NOW = "2026-05-01T05:30:00.000Z"


def picture(seed: int) -> bytes:
    return jpeg(width=64, height=64, seed=seed)


class Life:
    """One life of the program on a bird folder; the clock is turned by hand."""

    def __init__(self, root: Path, *, fate: Fate | None = None) -> None:
        self.root = root
        self.now_s = 1000.0
        self.files = Files(root)
        self.files.check()
        self.store = Store.open(root / "birdwatchd.db")
        examiner = Examiner(StubSpotter(), Limits(max_megapixels=40, formats=frozenset({"jpeg"})))  # type: ignore[arg-type]
        files: Any = self.files if fate is None else Dying(self.files, fate)
        store: Any = self.store
        if fate is not None:
            store = type("Log", (), {})()
            store.journeys, store.questions = Dying(self.store.journeys, fate), Dying(self.store.questions, fate)
        self.pipeline = Pipeline(self.files, self.store, examiner, Rules(empty_below=0.05), now=now_utc)
        self.noticing = Noticing(
            files, store, settle_s=SETTLE_S, unfinished_s=UNFINISHED_S, clock=lambda: self.now_s, now=now_utc
        )
        self.noticing.examiner = examiner

    def take(self, *seeds: int) -> list[Path]:
        """Let the daemon take photos; returns where it put them."""
        for seed in seeds:
            (self.root / "inbox" / f"photo {seed}.jpg").write_bytes(picture(seed))
        while found := sorted(self.files.inbox_files(is_ignored))[:BATCH_PHOTOS]:
            self.pipeline.take(found)
        rows = self.rows("SELECT path FROM photos ORDER BY id DESC LIMIT ?", len(seeds))
        return [self.root / row["path"] for row in reversed(rows)]

    def named(self, species: str, *seeds: int) -> list[Path]:
        """The same, and a person has moved them into a species folder; all of that is noticed."""
        moved = [self.move(photo, f"library/{species}") for photo in self.take(*seeds)]
        self.look()
        return moved

    def move(self, photo: Path, folder: str, name: str | None = None) -> Path:
        place = self.root / folder
        place.mkdir(parents=True, exist_ok=True)
        return photo.rename(place / (name or photo.name))

    def look(self, *, pass_s: float = 0.0) -> None:
        """A comparison of everything, and what follows from it."""
        self.noticing.compare()
        self.live(pass_s)

    def live(self, seconds: float) -> None:
        """Let time pass; the daemon does what is due."""
        end = self.now_s + seconds
        while True:
            self.noticing.finish()
            at = self.noticing.next_step()
            if at is None or at > end:
                break
            self.now_s = max(at, self.now_s)
        self.now_s = max(end, self.now_s)

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        return self.store.connection.rows(sql, parameters)

    def labels(self) -> list[tuple[int, str | None]]:
        return [(row["photo_id"], row["label"]) for row in self.rows("SELECT * FROM labels ORDER BY id")]

    def photo(self, photo_id: int = 1) -> dict[str, Any]:
        (row,) = self.rows("SELECT * FROM photos WHERE id = ?", photo_id)
        return row

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def life(root: Path) -> Iterator[Life]:
    one = Life(root)
    yield one
    one.close()


def place(life: Life, path: Path) -> str:
    return path.relative_to(life.root).as_posix()


# -- moves


def test_into_a_species_folder_is_a_label(life: Life) -> None:
    (photo,) = life.take(1)
    moved = life.move(photo, "library/robin")
    life.look()
    (row,) = life.rows("SELECT * FROM labels")
    assert (row["label"], row["previous"], row["source"], row["actor"]) == ("robin", None, "folder", None)
    now = life.photo()
    assert (now["path"], now["state"], now["reason"]) == (place(life, moved), State.FILED, "labelled")
    books.check(life.root, Counter([books.content(picture(1))]))


def test_under_any_name_and_however_deep_it_is_the_same_photo(life: Life) -> None:
    (photo,) = life.take(1)
    moved = life.move(photo, "library/robin/2026/may", "my best one.jpeg")
    life.look(pass_s=SETTLE_S + 1)
    assert life.labels() == [(1, "robin")]
    assert life.photo()["path"] == place(life, moved)
    assert moved.exists(), "its name is the person's"


def test_into_empty_is_the_label_empty(life: Life) -> None:
    (photo,) = life.take(1)
    life.move(photo, "empty")
    life.look()
    assert life.labels() == [(1, "empty")]
    assert life.photo()["state"] == State.EMPTY


def test_back_into_review_withdraws_the_label(life: Life) -> None:
    (photo,) = life.named("robin", 1)
    life.move(photo, "review/unknown")
    life.look()
    assert life.labels() == [(1, "robin"), (1, None)]
    assert (life.photo()["state"], life.photo()["reason"]) == (State.REVIEW, "withdrawn")
    assert life.store.questions.label_counts() == {}
    life.look()
    assert len(life.labels()) == 2


def test_from_one_guess_to_another_says_nothing(life: Life) -> None:
    (photo,) = life.take(1)
    moved = life.move(photo, "review/some other guess")
    life.look()
    assert life.labels() == []
    assert (life.photo()["path"], life.photo()["state"]) == (place(life, moved), State.REVIEW)


def test_a_renamed_folder_names_all_its_photos_anew(life: Life) -> None:
    life.named("robbin", *range(30))
    (life.root / "library" / "robbin").rename(life.root / "library" / "robin")
    life.look()
    assert Counter(label for _, label in life.labels()) == {"robbin": 30, "robin": 30}
    assert life.store.questions.label_counts() == {"robin": 30}
    books.check(life.root, Counter(books.content(picture(seed)) for seed in range(30)))


def test_there_and_back_before_anybody_looks_is_nothing(life: Life) -> None:
    (photo,) = life.named("robin", 1)
    life.move(life.move(photo, "library/wren"), "library/robin")
    life.look()
    assert life.labels() == [(1, "robin")]


def test_there_and_back_is_two_words_when_each_was_seen(life: Life) -> None:
    (photo,) = life.named("robin", 1)
    photo = life.move(photo, "library/wren")
    life.look()
    life.move(photo, "library/robin")
    life.look()
    assert life.labels() == [(1, "robin"), (1, "wren"), (1, "robin")]


def test_looking_again_changes_nothing(life: Life) -> None:
    life.named("robin", 1, 2, 3)
    before = life.rows("SELECT * FROM photos"), life.labels()
    for _ in range(3):
        life.look(pass_s=700)
    assert (life.rows("SELECT * FROM photos"), life.labels()) == before


def test_what_was_moved_while_nobody_watched_is_found_at_the_start(life: Life, root: Path) -> None:
    (photo,) = life.take(1)
    life.look()
    life.move(photo, "library/robin")
    next_life = Life(root)
    next_life.noticing.finish()
    assert next_life.labels() == [(1, "robin")]
    next_life.close()


def test_the_daemons_own_moves_are_no_words(life: Life) -> None:
    life.look()
    for photo in life.take(*range(50)):
        life.noticing.hint(place(life, photo))
        life.noticing.hint(None)
    life.live(1000)
    life.look()
    assert life.labels() == []


def test_a_hint_is_enough(life: Life) -> None:
    (photo,) = life.take(1)
    life.live(1000)
    moved = life.move(photo, "library/robin")
    life.noticing.hint(place(life, moved))
    life.live(QUIET_S + 0.1)
    assert life.labels() == [(1, "robin")]


def test_a_photo_moved_before_its_receipt_is_heard_all_the_same(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recovery finds it where the person put it, but can only write down where that is."""
    with monkeypatch.context() as patch:
        patch.setattr(life.store.journeys, "record_receipts", lambda _: (_ for _ in ()).throw(Death))
        with pytest.raises(Death):
            life.take(1)
    (photo,) = (life.root / "review").rglob("*.jpg")
    life.move(photo, "library/robin")
    life.look()
    assert life.labels() == [], "what is planned comes first"
    life.pipeline.resume()
    life.live(RETRY_S + 1)
    assert life.labels() == [(1, "robin")]
    assert life.photo()["state"] == State.FILED


# -- copies


def test_a_copy_in_a_species_folder_is_a_label_and_both_files_stay(life: Life) -> None:
    (photo,) = life.take(1)
    copy = life.root / "library" / "robin" / "a copy.jpg"
    copy.parent.mkdir()
    shutil.copy2(photo, copy)
    life.look(pass_s=SETTLE_S + 1)
    assert life.labels() == [(1, "robin")]
    assert life.photo()["path"] == place(life, copy)
    life.look(pass_s=SETTLE_S + 1)
    life.look()
    assert life.labels() == [(1, "robin")], "the one left in review says nothing"
    assert photo.read_bytes() == copy.read_bytes() == picture(1)
    assert len(life.rows("SELECT * FROM photos")) == 1


def test_of_two_copies_the_newer_one_counts_and_is_not_forgotten_again(life: Life, root: Path) -> None:
    (photo,) = life.named("robin", 1)
    copy = life.root / "library" / "wren" / photo.name
    copy.parent.mkdir()
    shutil.copy(photo, copy)
    life.look()
    assert life.labels() == [(1, "robin"), (1, "wren")]
    life.look()
    next_life = Life(root)
    next_life.live(1000)
    assert life.labels() == [(1, "robin"), (1, "wren")]
    copy.unlink()
    next_life.look()
    assert life.labels()[2:] == [(1, "robin")], "the one that is left is the photo"
    next_life.close()


# -- gone and back


def test_deleted_is_missing_and_nothing_else_and_comes_back(life: Life) -> None:
    photo, _ = life.named("robin", 1, 2)
    photo.unlink()
    life.look()
    assert life.photo()["state"] == State.FILED, "not at the first look: it may be on its way"
    life.live(AGAIN_S + 1)
    assert life.photo()["state"] == State.MISSING
    assert life.photo(2)["state"] == State.FILED
    assert life.labels() == [(1, "robin"), (2, "robin")]
    photo.write_bytes(picture(1))
    life.look()
    assert (life.photo()["state"], life.photo()["path"]) == (State.FILED, place(life, photo))
    assert life.labels() == [(1, "robin"), (2, "robin")]


def test_back_under_another_species_is_a_label(life: Life) -> None:
    (photo,) = life.take(1)
    photo.unlink()
    life.look(pass_s=AGAIN_S + 1)
    assert life.photo()["state"] == State.MISSING
    again = life.root / "library" / "robin" / "from the backup.jpg"
    again.parent.mkdir()
    again.write_bytes(picture(1))
    life.look(pass_s=SETTLE_S + 1)
    assert (life.photo()["state"], life.labels()) == (State.FILED, [(1, "robin")])


def test_of_a_library_that_is_not_there_nothing_is_inferred(life: Life) -> None:
    life.named("robin", *range(3))
    (life.root / "library").rename(life.root / "elsewhere")
    life.look(pass_s=100)
    life.look(pass_s=100)
    (life.root / "library").mkdir()  # as a mount point is when nothing is mounted there
    for _ in range(3):
        life.noticing._missing._shelves["library"] = (0, 0)  # whatever folder it was before
        life.look(pass_s=1)
    assert life.store.questions.states() == {"filed": 3}


def test_most_of_many_gone_at_once_is_no_persons_doing(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    photos = life.named("robin", *range(14))
    for photo in photos[:11]:
        photo.unlink()
    for _ in range(3):
        life.look(pass_s=100)
    assert life.store.questions.states() == {"filed": 14}
    assert [record.message for record in caplog.records if "mounted" in record.message] == [
        "11 of 14 photos in library/ are not there; nothing is inferred from that (is the disk mounted?)"
    ]


def test_while_a_folder_is_closed_nothing_counts_as_gone(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    (photo,) = life.named("robin", 1)
    life.move(photo, "library/closed")
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if str(path).endswith("/closed"):
            raise PermissionError(errno.EACCES, "closed")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    for _ in range(3):
        life.look(pass_s=10)
    assert life.photo()["state"] == State.FILED
    assert "library/closed cannot be looked into" in (life.noticing.left() or "")


# -- new photos


def put(life: Life, path: str, data: bytes) -> Path:
    file = life.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_a_new_photo_in_a_species_folder_is_an_imported_label(life: Life) -> None:
    put(life, "library/robin/my robin.jpg", picture(1))
    life.look(pass_s=SETTLE_S + 1)
    row = life.photo()
    sha256 = books.content(picture(1))
    assert row["path"] == f"library/robin/my robin-{sha256[:16]}.jpg", "the hash is added once"
    assert (row["state"], row["camera"], row["original_name"]) == (State.FILED, None, "my robin.jpg")
    assert life.labels() == [(1, "robin")]
    assert life.rows("SELECT source FROM labels") == [{"source": "folder"}]
    assert len(life.rows("SELECT * FROM embeddings")) == 1
    assert life.rows("SELECT * FROM predictions") == []
    assert (life.root / f".birdwatchd/thumbs/{sha256[:2]}/{sha256}.jpg").exists()
    life.look(pass_s=100)
    assert len(life.rows("SELECT * FROM photos")) == 1
    books.check(life.root, Counter([sha256]))


def test_one_that_has_its_digits_keeps_its_name(life: Life) -> None:
    name = f"a-{books.content(picture(1))[:16]}.jpg"
    put(life, f"library/robin/{name}", picture(1))
    life.look(pass_s=SETTLE_S + 1)
    assert (life.photo()["path"], life.photo()["state"]) == (f"library/robin/{name}", State.FILED)
    assert not life.pipeline.has_unfinished()


@pytest.fixture
def restored(life: Life, root: Path) -> Iterator[tuple[Life, dict[str, Path]]]:
    """A log of two photos, put back after the machine had refiled the first of them and filed two more, and a person had spoken."""
    (refiled,) = life.take(1)
    (withdrawn,) = life.named("robin", 2)
    backup = make_backup(life.files, keep=1, at=NOW).backup.path
    life.named("robin", 3)
    where = {
        "refiled": life.move(refiled, "library/wren"),
        "filed": life.move(life.take(4)[0], "library/wren"),
        "empty": life.move(life.take(5)[0], "empty"),
    }
    with life.store.connection.writing():
        for photo, state in zip(where.values(), ("filed", "filed", "empty"), strict=True):
            life.store.connection.execute(
                "UPDATE photos SET path = ?, state = ? WHERE sha256 LIKE ?",
                (place(life, photo), state, f"{shelving.digits_in(photo.name)}%"),
            )
    life.move(withdrawn, "review/unknown")
    life.look()
    assert life.labels() == [(2, "robin"), (3, "robin"), (2, None)]
    life.close()
    restore(life.files, backup, at=NOW)
    again = Life(root)
    again.look(pass_s=SETTLE_S + 1)
    yield again, where
    again.close()


@pytest.mark.fault("S09")
def test_after_a_restore_what_the_machine_had_done_since_is_no_word_of_a_person(
    restored: tuple[Life, dict[str, Path]],
) -> None:
    """All names that it had given since the backup became labels, which it then learned from."""
    life, where = restored
    for _ in range(2):
        named = life.rows("SELECT id FROM photos WHERE path LIKE 'library/robin/%'")
        assert Counter(life.labels()) == Counter([(2, "robin"), (2, None), (named[0]["id"], "robin")])
        row = life.photo(1)
        assert (row["path"], row["state"]) == (place(life, where["refiled"]), State.REVIEW), "the log's word stands"
        assert "nobody had named it" in (life.noticing.left() or "")
        life.look(pass_s=SETTLE_S + 1)
    life.move(where["refiled"], "library/wood-warbler")
    life.look()
    assert life.labels()[-1] == (1, "wood-warbler"), "moved by a person, it is named"


@pytest.mark.fault("S09")
def test_after_a_restore_a_photo_that_it_does_not_know_is_named_by_whoever_moves_it(
    restored: tuple[Life, dict[str, Path]],
) -> None:
    life, where = restored
    life.move(where["filed"], "library/wood-warbler")
    life.look(pass_s=SETTLE_S + 1)
    assert life.labels()[-1][1] == "wood-warbler"
    where["empty"].write_bytes(picture(9))
    life.look(pass_s=SETTLE_S + 1)
    assert life.labels()[-1][1] == "empty", "another photo, that somebody put there since"
    assert life.noticing.left() is None


@pytest.mark.fault("S09")
def test_where_the_replaced_log_cannot_be_read_no_place_is_taken_for_a_word(life: Life, root: Path) -> None:
    life.take(1)
    backup = make_backup(life.files, keep=1, at=NOW).backup.path
    life.named("robin", 2)
    life.close()
    (root / shelving.DATABASE).write_bytes(b"no log any more")
    restore(life.files, backup, at=NOW)
    again = Life(root)
    try:
        again.look(pass_s=SETTLE_S + 1)
        assert again.labels() == []
        assert "nobody had named it" in (again.noticing.left() or "")
    finally:
        again.close()


def test_a_list_of_the_last_restore_that_cannot_be_read_is_told(life: Life) -> None:
    put(life, "library/robin/a.jpg", picture(1))
    for words in (b"{", b"7"):
        (life.root / shelving.UNSPOKEN).write_bytes(words)
        with pytest.raises(DiskTrouble, match="does not tell"):
            life.look(pass_s=SETTLE_S + 1)
    assert life.labels() == []
    (life.root / shelving.UNSPOKEN).unlink()
    life.live(100)
    assert life.labels() == [(1, "robin")]


def test_a_new_photo_in_empty_is_one_without_a_bird(life: Life) -> None:
    put(life, "empty/nothing.jpg", picture(1))
    life.look(pass_s=SETTLE_S + 1)
    assert (life.photo()["state"], life.labels()) == (State.EMPTY, [(1, "empty")])


def test_half_a_new_photo_waits_until_its_end_is_there(life: Life) -> None:
    whole = picture(1)
    file = put(life, "library/robin/a.jpg", whole[:500])
    life.look(pass_s=60)
    assert life.store.questions.states() == {}
    file.write_bytes(whole)
    life.look()
    assert life.store.questions.states() == {}, "it has just been written"
    life.live(SETTLE_S + 1)
    assert life.labels() == [(1, "robin")]


def test_while_another_program_writes_it_it_waits(life: Life) -> None:
    file = put(life, "library/robin/a.jpg", picture(1))
    with file.open("ab"):
        life.look(pass_s=60)
        assert life.store.questions.states() == {}
    life.live(60)
    assert life.labels() == [(1, "robin")]


def test_a_broken_new_photo_is_left_and_listed(life: Life) -> None:
    file = put(life, "library/robin/broken.jpg", picture(1)[:900])
    notes = put(life, "library/robin/notes.txt", b"buy seeds\n")
    life.look(pass_s=UNFINISHED_S + SETTLE_S + 2)
    assert file.exists()
    assert notes.exists()
    assert life.store.questions.states() == {}
    assert "library/robin/broken.jpg (and 1 more) is left where it is" in (life.noticing.left() or "")
    file.unlink()
    notes.unlink()
    assert life.noticing.left() is None


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("review/jay/new.jpg", "drop it into the inbox"),
        ("library/new.jpg", "in no species folder"),
        ("library/what?/new.jpg", "which not every file system takes"),
    ],
)
def test_a_new_photo_where_no_name_is_given_is_left_and_listed(life: Life, path: str, why: str) -> None:
    file = put(life, path, picture(1))
    life.look(pass_s=SETTLE_S + 1)
    assert why in (life.noticing.left() or "")
    assert file.exists()
    assert life.store.questions.states() == {}


def test_hidden_files_notes_links_and_unfinished_names_are_never_counted(life: Life) -> None:
    (photo,) = life.named("robin", 1)
    for name in (".hidden.jpg", "a.part", "Thumbs.db", f"{photo.name}.json"):
        put(life, f"library/robin/{name}", picture(2))
    put(life, "library/@eaDir/b.jpg", picture(3))
    outside = put(life, "elsewhere/c.jpg", picture(4))
    (life.root / "library" / "linked").symlink_to(outside.parent)
    (life.root / "library" / "robin" / "link.jpg").symlink_to(outside)
    life.noticing.hint("library/linked/c.jpg")
    life.look(pass_s=1000)
    assert life.store.questions.states() == {"filed": 1}
    assert life.noticing.left() is None


def test_without_an_eye_new_photos_wait_and_moves_do_not(life: Life) -> None:
    (photo,) = life.take(1)
    examiner, life.noticing.examiner = life.noticing.examiner, None
    life.move(photo, "library/robin")
    put(life, "library/robin/new.jpg", picture(2))
    life.look(pass_s=100)
    assert life.labels() == [(1, "robin")]
    life.noticing.examiner = examiner
    life.live(RETRY_S + 1)
    assert life.labels() == [(1, "robin"), (2, "robin")]


def test_an_eye_that_fails_costs_nothing(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    put(life, "library/robin/new.jpg", picture(2))
    life.look()
    with monkeypatch.context() as patch:
        patch.setattr(StubSpotter, "spot", lambda *_: (_ for _ in ()).throw(ModelError("no")))
        with pytest.raises(ModelError):
            life.live(SETTLE_S + 1)
    life.live(RETRY_S + SETTLE_S + 1)
    assert life.labels() == [(1, "robin")]


def test_a_file_that_kills_the_program_is_left_alone_at_its_third_try(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SIGKILL does it: nothing is tidied up."""
    tries: list[int] = []
    for _ in range(4):
        life = Life(root)
        put_once = root / "library" / "robin" / "killer.jpg"
        if not put_once.exists():
            put(life, "library/robin/killer.jpg", picture(1))
        assert life.noticing.examiner is not None

        def examine(_: bytes, life: Life = life) -> Any:
            tries.append(1)
            monkeypatch.setattr(life.files, "note_looked_at", lambda _: None)
            raise Death

        monkeypatch.setattr(life.noticing.examiner, "examine", examine)
        died = False
        try:
            life.look(pass_s=SETTLE_S + 1)
        except Death:
            died = True
        assert died == (len(tries) < 3 and life.noticing.left() is None)
        life.close()
    assert len(tries) == 2
    assert "stopped twice" in (life.noticing.left() or "")


def test_a_photo_edited_in_the_library_is_a_new_photo_of_that_name(life: Life) -> None:
    (photo,) = life.named("robin", 1)
    photo.write_bytes(picture(2))
    life.look(pass_s=SETTLE_S + 1)
    life.look(pass_s=AGAIN_S + 1)
    assert life.store.questions.states() == {"filed": 1, "missing": 1}
    assert life.labels() == [(1, "robin"), (2, "robin")]


# -- names


def test_a_name_that_looks_like_another_is_told_until_it_is_strong(life: Life) -> None:
    life.named("robin", *range(6))
    assert life.noticing.doubtful() is None
    life.named("robbin", *range(10, 14))
    assert (life.noticing.doubtful() or "").startswith("the name robbin looks like robin")
    life.named("robbin", 14)
    assert life.noticing.doubtful() is None


# -- death, and trouble that passes


def _story(life: Life) -> None:
    """One of each: moved, moved and renamed, withdrawn, to empty, copied, new, deleted and back."""
    photos = life.named("robin", *range(6)) + life.take(6)
    life.move(photos[0], "library/wren")
    life.move(photos[1], "library/wren", "by hand.jpg")
    life.move(photos[2], "review/unknown")
    life.move(photos[3], "empty")
    (life.root / "library" / "jay").mkdir()
    shutil.copy(photos[4], life.root / "library" / "jay" / photos[4].name)
    photos[5].unlink()
    put(life, "library/jay/new.jpg", picture(20))


def _told(life: Life) -> tuple[Any, ...]:
    photos = life.rows("SELECT sha256, path, state, reason FROM photos ORDER BY sha256, id")
    labels = life.rows(
        "SELECT sha256, label, previous, source FROM labels JOIN photos ON photos.id = photo_id ORDER BY sha256, labels.id"
    )
    return photos, labels, life.rows("SELECT * FROM journeys"), books.files_in(life.root, *books.RESTING)


def _lived(life: Life) -> tuple[Any, ...]:
    life.pipeline.resume()
    life.look(pass_s=SETTLE_S + AGAIN_S + 2)
    life.look(pass_s=SETTLE_S + AGAIN_S + 2)
    return _told(life)


def test_a_death_between_any_two_steps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = tmp_path / "template"
    Files(template).create()
    first = Life(template)
    _story(first)
    first.close()

    def die(number: int, when: Any) -> tuple[Fate, tuple[Any, ...]]:
        root = tmp_path / f"{number}-{when}"
        shutil.copytree(template, root)
        # a copied tree has new dates; which copy is the newer one must stay as it was
        os.utime(root / "library" / "jay")
        for copy in sorted((root / "library" / "jay").iterdir()):
            copy.rename(copy.with_name("x"))
            copy.with_name("x").rename(copy)
        fate = Fate(number, when)
        with monkeypatch.context() as patch:
            make_hands_mortal(patch, fate)
            dying = Life(root, fate=fate)
            try:
                dying.look(pass_s=SETTLE_S + AGAIN_S + 2)
                dying.look(pass_s=SETTLE_S + AGAIN_S + 2)
            except Death:
                pass
            dying.close()
        life = Life(root)
        told = _lived(life)
        again = _lived(life)
        assert told == again
        life.close()
        shutil.rmtree(root)
        return fate, told

    undisturbed, wanted = die(0, "before")
    assert {row["state"] for row in wanted[0]} == {"filed", "review", "empty", "missing"}
    assert undisturbed.calls > 60
    for number in range(1, undisturbed.calls + 1, 1):
        for when in ("before", "after"):
            fate, told = die(number, when)
            assert fate.died_at
            assert told == wanted, fate.died_at


def test_a_log_that_is_busy_is_asked_again(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    (photo,) = life.take(1)
    life.look()
    life.move(photo, "library/robin")
    with monkeypatch.context() as patch:
        busy: Callable[[Any], None] = lambda _: (_ for _ in ()).throw(StoreBusy("busy"))  # noqa: E731
        patch.setattr(life.store.journeys, "record_moves_by_hand", busy)
        with pytest.raises(StoreBusy):
            life.look()
    assert life.labels() == []
    life.live(RETRY_S + 1)
    assert life.labels() == [(1, "robin")]


def test_a_label_typed_meanwhile_is_not_said_twice(life: Life) -> None:
    (photo,) = life.take(1)
    life.store.journeys.record_label(1, Said("robin", "cli", "test", now_utc()))
    life.move(photo, "library/robin")
    life.look()
    assert life.labels() == [(1, "robin")]
    assert life.photo()["state"] == State.FILED


def test_a_photo_under_way_is_left_to_its_plan(life: Life) -> None:
    """Between the finding and the writing down somebody planned to move it."""
    (photo,) = life.take(1)
    life.store.journeys.record_relocation(
        Move(1, place(life, photo), "library/wren/a.jpg", State.FILED, "labelled"), Said("wren", "cli", None, now_utc())
    )
    said = Said("robin", "folder", None, now_utc())
    life.store.journeys.record_moves_by_hand([MovedByHand(1, "library/robin/a.jpg", State.FILED, "labelled", said)])
    assert life.labels() == [(1, "wren")]
    assert life.photo()["path"] == place(life, photo)
