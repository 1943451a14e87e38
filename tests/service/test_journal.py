"""The daemon's lines: one number follows a photo, and programs can read them."""

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.cli.journal import JsonLine, Sentence
from birdwatchd.core.facts import about
from tests.pictures import jpeg
from tests.service.running import STUBBED, birdwatchd, daemon, until


def _line(form: logging.Formatter, text: str, extra: dict[str, Any] | None = None, level: int = logging.INFO) -> str:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(form)
    record = logging.getLogger("x").makeRecord("x", level, "f", 1, text, (), None, extra=extra)
    handler.handle(record)
    return out.getvalue().rstrip("\n")


def test_a_sentence_is_followed_by_its_facts() -> None:
    facts = about(photo=12, state="filed", label="house finch", p=0.934567, reason=None, odd='say "hi"', none="")
    said = 'photo=12 state=filed label="house finch" p=0.93 odd="say \\"hi\\"" none=""'
    assert _line(Sentence(journal=True), "a.jpg -> b", facts) == f"<6>a.jpg -> b  ({said})"
    assert _line(Sentence(journal=True), "disk full", level=logging.WARNING) == "<4>disk full"
    assert _line(Sentence(journal=False), "disk full", level=logging.WARNING).endswith(" WARNING disk full")


def test_a_json_line_holds_the_same_as_an_object() -> None:
    line = json.loads(_line(JsonLine(), "a.jpg -> b", about(photo=12, p=0.93, label=None)))
    assert (line["what"], line["photo"], line["p"], line["level"]) == ("a.jpg -> b", 12, 0.93, "info")
    assert "label" not in line


def test_what_a_thread_or_library_says_without_facts_is_a_line_too() -> None:
    assert json.loads(_line(JsonLine(), "plain"))["what"] == "plain"


@pytest.mark.fault("S10")
def test_every_line_about_a_photo_carries_its_number_also_for_hostile_names(root: Path) -> None:
    names = ["a.jpg", "line\nbreak.jpg", 'quo"te (photo=7).jpg', "\x1b[31mred.jpg"]
    with daemon(root, "--log", "json", command=STUBBED) as running:
        for seed, name in enumerate(names):
            (root / "inbox" / name).write_bytes(jpeg(width=64, height=64, seed=seed))
        until("all filed", lambda: running.err.read_text().count('"state"') == len(names))
        assert running.stop() == 0
    lines = [json.loads(line) for line in running.err.read_text().splitlines()]
    about_photos = [line for line in lines if "photo" in line]
    assert sorted(line["photo"] for line in about_photos) == [1, 2, 3, 4]
    logged = json.loads(birdwatchd("log", "--json", root=root).stdout)
    assert {(row["id"], row["state"]) for row in logged} == {(line["photo"], line["state"]) for line in about_photos}


def test_an_unknown_form_of_messages_is_a_usage_error(root: Path) -> None:
    done = birdwatchd("run", "--log", "xml", root=root)
    assert done.returncode == 2
    assert "--log is text or json" in done.stderr
