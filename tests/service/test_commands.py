"""The commands as a person meets them: what they say when something is wrong, and that nothing is lost by it."""

import json
import os
import pty
import shutil
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from birdwatchd.edges.store import Store
from tests import books
from tests.pictures import jpeg
from tests.service.running import COMMAND, STUBBED, birdwatchd


def told(done: "subprocess.CompletedProcess[str]", code: int, *words: str) -> None:
    """It failed as promised: this exit code, these words, a hint, no traceback."""
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    assert "hint:" in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_every_unknown_key_is_told_with_the_nearest_one(seeing_root: Path) -> None:
    (seeing_root / "config.toml").write_text("[inbox]\nsettle = 3\nsweep_s = -1\n[imagse]\n")
    done = birdwatchd("run", root=seeing_root)
    told(done, 2, "settle_s", "sweep_s", "images")


def test_a_missing_bird_folder_is_never_made_by_run(tmp_path: Path) -> None:
    told(birdwatchd("run", root=tmp_path / "unmounted"), 2, "there is no bird folder", "birdwatchd init")
    assert not (tmp_path / "unmounted").exists()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv to become another user with")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_folder_that_is_not_writable_is_named(seeing_root: Path) -> None:
    for path in [seeing_root, *seeing_root.parents][:5]:
        path.chmod(0o755)
    (seeing_root / "library").chmod(0o555)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *COMMAND, "run", "--root", str(seeing_root)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    if "No module named" in done.stderr or "ermission denied: '/" in done.stderr or "can't open file" in done.stderr:
        pytest.skip(f"the program itself is not readable for another user here: {done.stderr.strip()[-120:]}")
    told(done, 2, "not writable")


def test_a_newer_database_is_refused_and_left_alone(seeing_root: Path) -> None:
    assert birdwatchd("init", root=seeing_root).returncode == 0
    with sqlite3.connect(seeing_root / "birdwatchd.db") as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    (seeing_root / "inbox" / "a.jpg").write_bytes(jpeg())
    for command in ("run", "scan", "log"):
        told(birdwatchd(command, root=seeing_root), 2, "newer birdwatchd")
    assert (seeing_root / "inbox" / "a.jpg").read_bytes() == jpeg()


def test_a_damaged_database_is_refused_and_left_alone(seeing_root: Path) -> None:
    (seeing_root / "birdwatchd.db").write_bytes(b"this is no database, but it may once have been one" * 100)
    told(birdwatchd("run", root=seeing_root), 2, "damaged")
    assert b"may once have been" in (seeing_root / "birdwatchd.db").read_bytes()


def test_strange_names_are_filed_and_shown_harmlessly(seeing_root: Path) -> None:
    names = [
        b"x" * 251 + b".jpg",
        b"two\nlines.jpg",
        b"\xff\xfe not utf8 \xe9.jpg",
        b"-rf.jpg",
        b"\x1b[31mred.jpg",
        "left\u202egpj.exe.jpg".encode(),
        b"<img onerror=alert(1)>.jpg",
        b"100%n.jpg",
        "fink\u0308.jpg".encode(),
        b"no suffix",
        "vögel.JPG".encode(),
    ]
    inbox = os.fsencode(seeing_root / "inbox")
    for number, name in enumerate(names):
        with open(os.path.join(inbox, name), "wb") as file:  # noqa: PTH118, PTH123  # bytes paths
            file.write(jpeg(seed=number))
    ran = birdwatchd("scan", "--json", root=seeing_root)
    assert ran.stdout, ran.stderr
    done = json.loads(ran.stdout)
    assert done["photos"] == len(names)
    books.check(seeing_root, Counter(books.content(jpeg(seed=number)) for number in range(len(names))))
    listed = birdwatchd("log", root=seeing_root).stdout
    assert "\x1b" not in listed
    assert "\u202e" not in listed
    assert len(listed.splitlines()) == len(names) + 1
    rows = json.loads(birdwatchd("log", "--json", root=seeing_root).stdout)
    assert "two\\nlines.jpg" in {row["original_name"] for row in rows}
    assert all(len(os.fsencode(Path(row["path"]).name)) <= 240 for row in rows)
    for row in rows:
        assert birdwatchd("explain", seeing_root / row["path"], root=seeing_root).returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["explain", "999"], 1, "there is no photo 999"),
        (["explain", "no-such-file.jpg"], 1, "neither a file nor the number"),
        (["label", "999", "robin"], 1, "there is no photo 999"),
        (["label", "1", "rob/in"], 2, "cannot be the name of a species"),
        (["label", "1"], 2, "Missing argument"),
        (["undo", "--since", "yesterday"], 2, "is no time"),
        (["undo"], 2, "Missing option"),
        (["import", "nowhere"], 1, "is no folder"),
        (["log", "--state", "flying"], 2, "no photo is ever"),
        (["fly"], 2, "No such command"),
        (["classify", "nowhere.jpg"], 1, "No such file"),
        (["explain", "99999999999999999999999"], 1, "there is no photo"),
        (["undo", "--since", "999999w"], 2, "is no time"),
        (["explain", "/proc/self/mem"], 1, "cannot read"),
    ],
)
def test_a_mistake_gets_one_line_and_a_hint(seeing_root: Path, words: list[str], code: int, said: str) -> None:
    assert birdwatchd("init", root=seeing_root).returncode == 0
    done = birdwatchd(*words, root=seeing_root) if words[0] != "fly" else _bare(words)
    assert done.returncode == code, done
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def _bare(words: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)


def test_an_import_folder_without_species_folders_is_refused(seeing_root: Path, tmp_path: Path) -> None:
    assert birdwatchd("init", root=seeing_root).returncode == 0
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.jpg").write_bytes(jpeg())
    told(birdwatchd("import", tmp_path / "flat", root=seeing_root), 1, "no species folders")


def test_undo_takes_back_what_the_machine_did_and_no_human_word(seeing_root: Path, real_photos: Path) -> None:
    scenes = sorted((real_photos / "scenes" / "no-bird").glob("*"))[:6]
    for photo in scenes:
        shutil.copy(photo, seeing_root / "inbox")
    assert birdwatchd("scan", root=seeing_root).returncode == 0
    (first, *_) = json.loads(birdwatchd("log", "--state", "empty", "--json", root=seeing_root).stdout)
    named = json.loads(birdwatchd("label", str(first["id"]), "empty", "--json", root=seeing_root).stdout)
    assert named["path"].startswith("empty/")
    undone = json.loads(birdwatchd("undo", "--since", "1h", "--json", root=seeing_root).stdout)["undone"]
    assert {one["from"].split("/")[0] for one in undone} == {"empty"}
    assert named["path"] not in {one["from"] for one in undone}
    assert all(one["to"].startswith("review/") for one in undone)
    rows = json.loads(birdwatchd("log", "--json", root=seeing_root).stdout)
    assert {row["reason"] for row in rows if row["id"] != first["id"]} == {"undone"}
    books.check(seeing_root, Counter(books.content(photo.read_bytes()) for photo in scenes))
    assert json.loads(birdwatchd("undo", "--since", "1h", "--json", root=seeing_root).stdout)["undone"] == []


def test_several_photos_are_named_at_once(seeing_root: Path) -> None:
    for seed in (1, 2):
        (seeing_root / "inbox" / f"{seed}.jpg").write_bytes(jpeg(width=64, height=64, seed=seed))
    assert birdwatchd("scan", root=seeing_root).returncode == 0
    done = birdwatchd("label", "1", "2", "1", "robin", root=seeing_root)
    assert (done.returncode, done.stdout) == (0, "2 photos are robin\n")
    assert len(list((seeing_root / "library" / "robin").iterdir())) == 2
    done = birdwatchd("label", "1", "77", "wren", root=seeing_root)
    assert (done.returncode, done.stdout.splitlines()[:2]) == (
        1,
        ["1 photos are wren", "  not photo 77: there is no photo 77 (see `birdwatchd log` for the photos it knows)"],
    )


def test_every_listing_answers_in_json(seeing_root: Path) -> None:
    assert json.loads(birdwatchd("init", "--json", root=seeing_root).stdout)["root"] == str(seeing_root)
    (seeing_root / "inbox" / "a.jpg").write_bytes(jpeg())
    assert json.loads(birdwatchd("scan", "--json", root=seeing_root).stdout)["photos"] == 1
    for words in (["log"], ["stats"], ["explain", "1"], ["doctor"], ["classify", str(seeing_root / "config.toml")]):
        done = birdwatchd(*words, "--json", root=seeing_root)
        assert done.returncode == 0, done
        json.loads(done.stdout)


def test_nothing_but_progress_is_written_for_people_and_only_to_a_terminal(seeing_root: Path) -> None:
    for number in range(20):
        (seeing_root / "inbox" / f"{number}.jpg").write_bytes(jpeg(seed=number))
    quiet = birdwatchd("scan", root=seeing_root)
    assert quiet.stderr == ""
    for number in range(20, 40):
        (seeing_root / "inbox" / f"{number}.jpg").write_bytes(jpeg(seed=number))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "scan", "--root", str(seeing_root)], stderr=theirs, stdout=subprocess.PIPE
    ) as scanning:
        os.close(theirs)
        shown = b"".join(iter(lambda: said_on(ours), b""))  # all the while: a terminal that nobody reads is soon full
        assert scanning.stdout is not None
        assert b"20 photos" in scanning.stdout.read()
    os.close(ours)
    assert scanning.returncode == 0
    assert b"photos" in shown


def said_on(terminal: int) -> bytes:
    """Something of what a program writes there; nothing once it has gone."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says so
        return b""


def test_a_closed_pipe_makes_no_noise(seeing_root: Path) -> None:
    assert birdwatchd("init", root=seeing_root).returncode == 0
    line = f"{' '.join(COMMAND)} stats --root '{seeing_root}' | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_same_photo_dropped_after_its_owner_deleted_it_is_judged_again(seeing_root: Path) -> None:
    for _ in range(2):
        (seeing_root / "inbox" / "a.jpg").write_bytes(jpeg())
        assert birdwatchd("scan", root=seeing_root).returncode == 0
        (row, *_) = json.loads(birdwatchd("log", "--json", "-n", "1", root=seeing_root).stdout)
        assert row["state"] in ("review", "empty")
        (seeing_root / row["path"]).unlink()
    rows = json.loads(birdwatchd("log", "--json", root=seeing_root).stdout)
    assert [row["state"] for row in rows][1] == "missing"


def test_a_photo_that_killed_the_daemon_twice_is_set_aside_unopened(seeing_root: Path) -> None:
    """Without a way to make Pillow crash, the attempts are counted up by hand, as two deaths would have."""
    (seeing_root / "inbox" / "poison.jpg").write_bytes(jpeg(seed=1))
    assert birdwatchd("init", root=seeing_root).returncode == 0
    from birdwatchd.core.journey import Claim
    from birdwatchd.edges.files import Files
    from birdwatchd.edges.store import work_path

    files = Files(seeing_root)
    with Store.open(seeing_root / "birdwatchd.db") as store:
        stamp = files.inbox_stamp("poison.jpg")
        assert stamp is not None
        (photo_id,) = store.journeys.record_claims([Claim("poison.jpg", stamp, None, "2026-01-01T00:00:00.000Z")])
        files.claim("poison.jpg", stamp, work_path(photo_id))
        store.journeys.count_attempt(photo_id)
    assert birdwatchd("scan", root=seeing_root).returncode == 0
    (row,) = json.loads(birdwatchd("log", "--json", root=seeing_root).stdout)
    assert (row["state"], row["reason"]) == ("quarantined", "crashed")
    note = json.loads((seeing_root / f"{row['path']}.json").read_text())
    assert "twice" in note["what_was_wrong"]
    books.check(seeing_root, Counter([books.content(jpeg(seed=1))]))


def test_no_words_at_all_get_the_help_and_the_version_is_said() -> None:
    for words in ([], ["-h"], ["--help"]):
        done = _bare(words)
        assert (done.returncode, done.stderr) == (0, "")
        assert "doctor" in done.stdout
        assert "\\n" not in done.stdout
        assert "..." not in done.stdout.replace("ARGS]...", ""), "no line of the help is cut"
    assert _bare(["--version"]).stdout.startswith("birdwatchd ")


def test_an_import_of_the_bird_folder_itself_is_refused(seeing_root: Path) -> None:
    assert birdwatchd("init", root=seeing_root).returncode == 0
    for folder in (seeing_root, seeing_root / "library", seeing_root.parent):
        told(birdwatchd("import", folder, root=seeing_root), 1, "holds the bird folder or lies in it")


def test_one_photo_under_two_names_in_a_tree_is_not_renamed_back_and_forth(seeing_root: Path, tmp_path: Path) -> None:
    assert birdwatchd("init", root=seeing_root).returncode == 0
    for species in ("mallard", "teal"):
        (tmp_path / "tree" / species).mkdir(parents=True)
        (tmp_path / "tree" / species / "a.jpg").write_bytes(jpeg())
    for known in (0, 1):
        brought = json.loads(birdwatchd("import", tmp_path / "tree", "--json", root=seeing_root).stdout)
        assert (brought["known"], len(brought["bad"])) == (known, 1)
    receipt = json.loads(birdwatchd("explain", "1", "--json", root=seeing_root).stdout)
    assert [label["label"] for label in receipt["labels"]] == ["mallard"]


def test_a_name_in_another_spelling_is_the_one_in_use(seeing_root: Path) -> None:
    for number in range(2):
        (seeing_root / "inbox" / f"{number}.jpg").write_bytes(jpeg(seed=number))
    assert birdwatchd("scan", root=seeing_root).returncode == 0
    for photo, name in (("1", "house-finch"), ("2", "House Finch")):
        assert json.loads(birdwatchd("label", photo, name, "--json", root=seeing_root).stdout)["label"] == "house-finch"
    assert json.loads(birdwatchd("label", "1", "EMPTY", "--json", root=seeing_root).stdout)["path"].startswith("empty/")


def test_scan_alone_sets_cut_files_aside_in_time(seeing_root: Path) -> None:
    (seeing_root / "inbox" / "cut.jpg").write_bytes(jpeg(seed=2)[:2000])
    first = json.loads(birdwatchd("scan", "--json", root=seeing_root).stdout)
    assert (first["photos"], first["waiting"]) == (0, 1)
    patience = {"BIRDWATCHD_INBOX__UNFINISHED_S": "1"}
    second = json.loads(birdwatchd("scan", "--json", root=seeing_root, environment=patience).stdout)
    assert (second["photos"], second["waiting"]) == (1, 0)
    (row,) = json.loads(birdwatchd("log", "--json", root=seeing_root).stdout)
    assert row["reason"] == "truncated"
    said = birdwatchd("explain", "1", root=seeing_root).stdout
    assert "copy it from the camera again" in said


def test_a_photo_that_was_moved_and_renamed_by_hand_is_known_by_its_content(seeing_root: Path) -> None:
    (seeing_root / "inbox" / "a.jpg").write_bytes(jpeg())
    assert birdwatchd("scan", root=seeing_root).returncode == 0
    (row,) = json.loads(birdwatchd("log", "--json", root=seeing_root).stdout)
    mine = seeing_root / "library" / "wren" / "my favourite.jpg"
    mine.parent.mkdir()
    (seeing_root / row["path"]).rename(mine)
    named = json.loads(birdwatchd("label", mine, "wren", "--json", root=seeing_root).stdout)
    assert named["label"] == "wren"
    assert (seeing_root / named["path"]).read_bytes() == jpeg()
    books.check(seeing_root, Counter([books.content(jpeg())]))


def stubbed(*words: str | Path, root: Path) -> "subprocess.CompletedProcess[str]":
    """One command with a stub eye."""
    return subprocess.run(
        [*STUBBED, *map(str, words), "--root", str(root)], capture_output=True, text=True, check=False, timeout=60
    )


def contents(root: Path) -> tuple[dict[str, bytes], list[tuple[object, ...]]]:
    """All photos with their places, and all that was ever said or learned."""
    photos = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for folder in ("inbox", "library", "review", "empty", "quarantine")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }
    with sqlite3.connect(root / "birdwatchd.db") as db:
        rows = [
            row
            for query in (
                "SELECT id, path, state FROM photos",
                "SELECT id, label FROM labels",
                "SELECT id, promoted_at, retired_at FROM models",
                "SELECT id FROM trainings",
            )
            for row in db.execute(query)
        ]
    db.close()
    return photos, rows


def test_wrong_words_about_names_and_models_change_nothing(root: Path, tmp_path: Path) -> None:
    (root / "inbox" / "a.jpg").write_bytes(jpeg(seed=1))
    assert stubbed("scan", root=root).returncode == 0
    (tmp_path / "tree" / "a:b").mkdir(parents=True)
    (tmp_path / "tree" / "a:b" / "a.jpg").write_bytes(jpeg(seed=2))
    (tmp_path / "bare" / "wren").mkdir(parents=True)
    before = contents(root)
    for words, code, said in (
        (["label", "1", "a/b"], 2, "it holds /"),
        (["label", "1", ".."], 2, "starts with a dot"),
        (["label", "1", "x" * 300], 2, "longer than 100 bytes"),
        (["label", "1", ""], 2, "it is empty"),
        (["label", "1", " "], 2, "it is empty"),
        (["label", "1", "two\nlines"], 2, "it holds"),
        (["label", "1", "tab\there"], 2, "it holds"),
        (["label", "2", "wren"], 1, "there is no photo 2"),
        (["label", tmp_path / "gone.jpg", "wren"], 1, "neither a file nor the number of a photo"),
        (["import", tmp_path / "tree"], 1, "cannot be the name of a species"),
        (["import", tmp_path / "bare"], 1, "holds no species folders with photos"),
        (["models", "promote", "99"], 1, "there is no model 99"),
        (["models", "promote", "x"], 2, "not a whole number"),
        (["models", "rollback"], 1, "no other model has named birds before"),
        (["models", "show", "x"], 2, "not a whole number"),
        (["models", "show", "1"], 1, "there is no model 1"),
        (["train"], 1, "too little to learn from"),
    ):
        done = stubbed(*words, root=root)
        told(done, code, said)
        assert len(done.stderr.splitlines()) == 2, done.stderr
        assert done.stdout == ""
    assert contents(root) == before


def test_train_says_what_is_missing_and_changes_nothing(root: Path, tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / "tree" / "wren").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / "wren" / f"{number}.jpg").write_bytes(jpeg(seed=number))
    Store.open(root / "birdwatchd.db").close()
    told(stubbed("train", root=root), 1, "so far: none")
    assert stubbed("import", tmp_path / "tree", root=root).returncode == 0
    before = contents(root)
    told(stubbed("train", root=root), 1, "of each of two species", "so far: wren 6")
    assert stubbed("label", "1", "robin", root=root).returncode == 0
    told(stubbed("train", root=root), 1, "so far: robin 1, wren 5")
    assert stubbed("label", "1", "wren", root=root).returncode == 0
    assert contents(root)[0].keys() == before[0].keys()


def test_a_photo_that_is_gone_is_not_named(root: Path) -> None:
    (root / "inbox" / "a.jpg").write_bytes(jpeg())
    assert stubbed("scan", root=root).returncode == 0
    (photo,) = (path for shelf in ("review", "empty") for path in (root / shelf).rglob("*.jpg"))
    photo.unlink()
    told(stubbed("label", "1", "wren", root=root), 1, "is not there any more", "drop it into the inbox again")
    receipt = json.loads(birdwatchd("explain", "1", "--json", root=root).stdout)
    assert (receipt["photo"]["state"], receipt["labels"]) == ("missing", [])
    told(stubbed("label", "1", "wren", root=root), 1, "not in the bird folder any more", "drop it into the inbox again")
    said = birdwatchd("explain", "1", root=root).stdout
    assert "because    it is not in the bird folder any more" in said


def test_a_name_typed_again_says_that_it_is_no_slip_and_a_wish_begun_before_says_nothing_again(root: Path) -> None:
    (root / "inbox" / "a.jpg").write_bytes(jpeg())
    assert stubbed("scan", root=root).returncode == 0

    def confirmed() -> list[int]:
        with Store.open(root / "birdwatchd.db") as store:
            (photo,) = store.models.examples(store.connection.value("SELECT spotter_id FROM embeddings"))
            return [photo["confirmed"], store.connection.value("SELECT count(*) FROM labels")]

    assert stubbed("label", "1", "wren", root=root).stdout.startswith("photo 1 is wren: library/wren/")
    assert confirmed() == [0, 1]
    with Store.open(root / "birdwatchd.db") as store:  # it died after the label and before it could say so
        begun = store.requests.ask(
            "label", {"photo_id": 1, "species": "wren"}, actor=None, at="2026-05-01T05:30:00.250Z"
        )
        assert store.requests.take(begun, at="2026-05-01T05:30:00.250Z")
        assert not store.requests.take(begun, at="2026-05-01T05:30:00.250Z")
    said = stubbed("label", "1", "wren", root=root).stdout
    assert said.endswith("; noted that you are sure\n"), said
    assert confirmed() == [1, 2]


def test_files_in_a_tree_that_are_no_photos_are_listed_and_left(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tree" / "wren").mkdir(parents=True)
    (tmp_path / "tree" / "wren" / "good.jpg").write_bytes(jpeg())
    (tmp_path / "tree" / "wren" / "cut.jpg").write_bytes(jpeg(seed=3)[:2000])
    (tmp_path / "tree" / "wren" / "notes.txt").write_text("buy seed")
    Store.open(root / "birdwatchd.db").close()
    done = stubbed("import", tmp_path / "tree", root=root)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.splitlines()[0] == "1 photos imported, 0 known already, 2 not taken"
    assert len(done.stdout.splitlines()) == 3
    assert {path.name for path in (tmp_path / "tree" / "wren").iterdir()} == {"good.jpg", "cut.jpg", "notes.txt"}
