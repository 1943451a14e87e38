"""The page about a training: it shows what came of it, opens anywhere, and nothing that anybody wrote is more than words in it."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from birdwatchd.core import shelving
from birdwatchd.core.errors import Refused
from birdwatchd.core.gate import Judged, Rules, judge
from birdwatchd.core.job import JOB_FILE, REPORT_FILE, VERDICT_FILE, Champion, Doubt, Epoch, Example, Guess, Job, Report
from birdwatchd.core.shelfmoves import STRONG_FROM
from birdwatchd.edges.images import as_jpeg
from birdwatchd.training.__main__ import main

HOSTILE = "<script>alert(1)</script> & \"'$x_1$"
"""No folder can be called so; the page must not rely on it."""

NAMES = (HOSTILE, "jay", "オオルリ")


class Seen(HTMLParser):
    """What a browser would make of the page: its elements, their attributes, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def every(self, name: str) -> list[str]:
        return [str(attributes[name]) for _, attributes in self.tags if name in attributes]


def judged_job(folder: Path, *, names: tuple[str, ...] = NAMES, epochs: tuple[Epoch, ...] = ()) -> Path:
    """A job's folder after the verdict: 8 photos of each name, one guess in four wrong, one label doubted."""
    root = folder / "birds"
    examples = tuple(
        Example(
            place, f"{place:064x}", f'library/x/a"<b>{place}.jpg', names[place % len(names)], place % 5, place % 3 == 0
        )
        for place in range(8 * len(names))
    )
    for one in examples[:-1]:  # of the last the small picture is gone
        thumb = root / shelving.THUMBS / one.sha256[:2] / f"{one.sha256}.jpg"
        thumb.parent.mkdir(parents=True, exist_ok=True)
        thumb.write_bytes(as_jpeg(np.full((32, 48, 3), 9 * one.photo_id % 256, dtype=np.uint8)))
    guesses = tuple(
        Guess(one.photo_id, one.label if one.photo_id % 4 else names[(one.photo_id + 1) % len(names)], 0.9, 0.1)
        for one in examples
    )
    job = Job(
        kind="linear",
        training_id=7,
        spotter_id="5" * 16,
        seed=1,
        wanted_precision=0.95,
        strangers_let_in=0.05,
        fingerprint="f" * 64,
        parent_sha256=None,
        recipe={"note": HOSTILE},
        sides={},
        examples=examples,
        root=str(root),
        champion=Champion(1, "old.onnx", {}, ()),
        too_few={HOSTILE: 2},
        doubtful_names={HOSTILE: "jay"},
        straddling=(99,),
    )
    said = {one.photo_id: names[0] for one in examples}
    report = Report(
        model="linear-0.onnx",
        labels=names,
        guesses=guesses,
        metrics={"accuracy": 0.75},
        parity=1e-7,
        champion_guesses={str(photo): name for photo, name in said.items()},
        doubts=(Doubt(1, names[1], names[0], 0.999, (2, 23, 99), held_back=True),),
        near_copies=((0, 3),),
        epochs=epochs,
    )
    truth = {one.photo_id: one.label for one in examples}
    rows = [Judged(guess.photo_id, truth[guess.photo_id], said[guess.photo_id], guess.label) for guess in guesses]
    verdict = judge(rows, Rules(frozenset()), champion_labels=names, candidate_labels=names)
    job_dir = folder / "7"
    job_dir.mkdir(parents=True)
    (job_dir / JOB_FILE).write_text(job.to_json(), encoding="utf-8")
    (job_dir / REPORT_FILE).write_text(report.to_json(), encoding="utf-8")
    (job_dir / VERDICT_FILE).write_text(verdict.to_json(), encoding="utf-8")
    return job_dir


def page_of(job_dir: Path) -> tuple[Path, str]:
    page = job_dir.parent / "reports" / "7"
    assert main(["report", str(job_dir), str(page)]) == 0
    return page, (page / "index.html").read_text(encoding="utf-8")


def test_what_anybody_wrote_is_only_words_in_the_page(tmp_path: Path) -> None:
    _, text = page_of(judged_job(tmp_path))
    seen = Seen(text)
    assert HOSTILE in seen.words
    assert 'a"<b>1.jpg' in seen.words
    assert not {"script", "b>"} & {tag for tag, _ in seen.tags}
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert "オオルリ" in seen.words


def test_a_name_that_may_be_a_slip_is_told_with_what_makes_it_count(tmp_path: Path) -> None:
    _, text = page_of(judged_job(tmp_path))
    assert f"Rename it, or give it {STRONG_FROM} photos." in " ".join(Seen(text).words.split())


def test_the_page_needs_nothing_from_elsewhere_and_every_picture_is_there(tmp_path: Path) -> None:
    page, text = page_of(judged_job(tmp_path))
    seen = Seen(text)
    assert "//" not in re.sub(r"\s//\s", "", text)  # no address of any kind
    assert "@import" not in text
    assert seen.every("href") == []
    assert all(one.startswith("#") for one in seen.every("xlink:href"))
    pictures = seen.every("src")
    assert pictures
    assert all((page / one).is_file() for one in pictures)
    assert {path.name for path in (page / "photos").iterdir()} == {one.removeprefix("photos/") for one in pictures}
    assert any(tag == "div" and attributes.get("class") == "gone" for tag, attributes in seen.tags)
    policy = [attributes["content"] for tag, attributes in seen.tags if attributes.get("http-equiv")]
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none'")


def test_every_picture_and_plot_has_its_words(tmp_path: Path) -> None:
    seen = Seen(page_of(judged_job(tmp_path))[1])
    assert all(attributes.get("alt") for tag, attributes in seen.tags if tag == "img")
    drawn = [attributes for _, attributes in seen.tags if attributes.get("class") == "plot"]
    assert len(drawn) == 3
    assert all(attributes.get("aria-label") for attributes in drawn)


def test_no_two_parts_of_the_page_share_an_id(tmp_path: Path) -> None:
    """Else a plot would borrow the marks of another one."""
    epochs = tuple(Epoch(number, 2 / number, 2.5 / number, 0.5 / number) for number in (1, 2, 3))
    ids = Seen(page_of(judged_job(tmp_path, epochs=epochs))[1]).every("id")
    assert len(ids) == len(set(ids))


def test_the_two_sentences_the_doubts_and_the_small_print_are_told(tmp_path: Path) -> None:
    job_dir = judged_job(tmp_path, names=("crow", "jay", "wren"))
    words = " ".join(Seen(page_of(job_dir)[1]).words.split())
    assert "The new model takes over" in words
    assert "The new model names 18 of 24 held-out photos right, the old one 8: it takes over." in words
    assert "You say Jay; it looks like Crow (over 99 %)." in words
    assert "is the folder crow meant" not in words
    assert "1 photo left out" in words
    assert "f" * 64 in words


def test_birds_are_called_as_the_settings_say_and_files_as_they_are(tmp_path: Path) -> None:
    job_dir = judged_job(tmp_path, names=("bald-eagle", "house-finch", "wren"))
    job = Job.from_json((job_dir / JOB_FILE).read_text(encoding="utf-8"))
    names = {"house-finch": "Hausgimpel", "wren": "Zaunkönig"}
    slip = replace(job, names=names, doubtful_names={"house-fnch": "house-finch"})
    (job_dir / JOB_FILE).write_text(slip.to_json(), encoding="utf-8")
    text = page_of(job_dir)[1]
    words = " ".join(Seen(text).words.split())
    for called in ("Bald eagle", "Hausgimpel", "Zaunkönig"):
        assert called in words
    assert "It is better at Hausgimpel and Zaunkönig, but worse at Bald eagle." in words
    assert "is the folder house-fnch meant to be house-finch?" in words
    assert words.count("house-finch") == 1
    assert "bald-eagle" not in text
    assert "wren" not in text


def test_a_batch_as_the_network_sees_it_is_shown_if_there_is_one(tmp_path: Path) -> None:
    job_dir = judged_job(tmp_path)
    (job_dir / "batch.png").write_bytes(b"png")
    page, text = page_of(job_dir)
    assert "batch.png" in Seen(text).every("src")
    assert (page / "batch.png").read_bytes() == b"png"


def test_a_page_made_again_replaces_the_old_one_and_leaves_no_litter(tmp_path: Path) -> None:
    job_dir = judged_job(tmp_path)
    page, first = page_of(job_dir)
    (page / "left-over").touch()
    (page.parent / ".7.part").mkdir()
    (page.parent / ".7.part" / "half").touch()
    assert page_of(job_dir) == (page, first)
    assert [path.name for path in page.parent.iterdir()] == ["7"]
    assert sorted(path.name for path in page.iterdir()) == ["index.html", "photos"]


@pytest.mark.parametrize("missing", [JOB_FILE, REPORT_FILE, VERDICT_FILE])
def test_what_was_not_judged_has_no_page(tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    job_dir = judged_job(tmp_path)
    (job_dir / missing).unlink()
    assert main(["report", str(job_dir), str(tmp_path / "reports" / "7")]) == Refused.exit_code
    assert "7 holds no judged training" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


def test_a_training_that_nothing_is_known_of_but_its_names_has_a_page(tmp_path: Path) -> None:
    job_dir = judged_job(tmp_path)
    report = Report.from_json((job_dir / REPORT_FILE).read_text(encoding="utf-8"))
    bare = replace(report, guesses=(), doubts=(), near_copies=(), champion_guesses={})
    (job_dir / REPORT_FILE).write_text(bare.to_json(), encoding="utf-8")
    assert "named right" in Seen(page_of(job_dir)[1]).words
