"""Bad pictures by the thousand, through the real program: it lives, keeps nothing that does not decode, and says why."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from birdwatchd.core.errors import Damaged, Truncated
from tests.faults import corpora
from tests.faults.feeding import Fed, feed, fresh_root, hold_the_law, inbox_name, numbered, tell, what_is_wrong
from tests.faults.mutants import DAMAGES, good, mutant, mutants

pytestmark = pytest.mark.timeout(900)  # with fetching

FOR_CI = 1000
FOR_TORTURE = 5000


# --- what broke other parsers -------------------------------------------------------------------------------------


@dataclass
class Collections:
    """All collections that can be had, fed to one process; names of their files in the inbox, or why they are missing."""

    fed: Fed
    names: dict[str, list[str]]
    missing: dict[str, str]

    def of(self, name: str) -> list[str]:
        if name in self.missing:
            pytest.skip(f"{self.missing[name]}")
        return self.names[name]


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Collections:
    files: list[tuple[str, bytes]] = []
    names: dict[str, list[str]] = {}
    missing: dict[str, str] = {}
    for name in corpora.NAMES:
        try:
            found = corpora.pictures(name)
        except corpora.Missing as error:
            missing[name] = str(error)
            continue
        names[name] = [inbox_name(len(files) + number, path.name) for number, path in enumerate(found)]
        files += zip(names[name], (path.read_bytes() for path in found), strict=True)
    fed = feed(fresh_root(tmp_path_factory.mktemp("collections") / "birds"), files)
    return Collections(fed, names, missing)


@pytest.mark.fault("B02")
@pytest.mark.parametrize("name", corpora.NAMES)
def test_what_broke_other_parsers_does_no_harm(collections: Collections, name: str) -> None:
    ends = hold_the_law(collections.fed, collections.of(name))
    assert ends["review"] + ends["empty"] >= 80, "the whole ones among them are kept"
    assert len(ends) >= 3, "there is something of many sorts"
    tell(f"{name}: {dict(ends)}; slowest of all: {collections.fed.slowest}")


@pytest.mark.fault("B02")
def test_there_are_enough_of_them(collections: Collections) -> None:
    assert sum(len(collections.of(name)) for name in corpora.NAMES) >= corpora.LEAST_FILES


@pytest.mark.fault("B02")
def test_nothing_is_called_damaged_that_pillow_reads_to_its_end(collections: Collections) -> None:
    fates = [fate for fate in collections.fed.fates.values() if fate.reason in (Damaged.reason, Truncated.reason)]
    if collections.missing and not fates:
        pytest.skip("; ".join(collections.missing.values()))
    assert fates
    for fate in fates:
        assert what_is_wrong(collections.fed.root / fate.path) is not None, fate


@pytest.mark.fault("B02")
def test_the_real_eye_has_an_answer_for_whatever_decodes(
    collections: Collections, models_dir: Path, tmp_path: Path
) -> None:
    sample = [one for name in corpora.NAMES if name in collections.names for one in collections.names[name][::15]]
    if not sample:
        pytest.skip(f"{'; '.join(collections.missing.values())}")
    files = [(one, (collections.fed.root / collections.fed.fates[one].path).read_bytes()) for one in sample]
    fed = feed(fresh_root(tmp_path / "birds", models_dir), files, eye="real")
    hold_the_law(fed)
    seen = [fate for fate in fed.fates.values() if fate.state in ("review", "empty")]
    assert len(seen) > 10
    for fate in seen:
        assert fate.birdness is not None
        assert 0 <= fate.birdness <= 1


@pytest.mark.fault("B01")
@pytest.mark.timeout(7200)
def test_a_large_public_collection_does_no_harm(tmp_path: Path) -> None:
    if corpora.BIG is None:
        pytest.skip(
            "the 16,877 public files come from the open network: clone the repositories of"
            " libjpeg-turbo/seed-corpora, etemesi254/zune-image, dvyukov/go-fuzz-corpus and so on,"
            " and set BIRDWATCHD_BIG_CORPUS to the folder that holds them"
        )
    paths = sorted(path for path in Path(corpora.BIG).rglob("*") if path.is_file() and ".git" not in path.parts)
    assert paths, corpora.BIG
    files = ((re.sub(r"[^A-Za-z0-9._-]", "_", path.name)[-100:], path.read_bytes()) for path in paths)
    hold_the_law(feed(fresh_root(tmp_path / "birds"), numbered(files), patience_s=7000))


# --- mutants ------------------------------------------------------------------------------------------------------


def hold_for_mutants(tmp_path: Path, count: int, seed: int) -> Counter[str]:
    fed = feed(fresh_root(tmp_path / "birds"), mutants(count, seed=seed), patience_s=3600)
    ends = hold_the_law(fed)
    tell(f"{dict(ends)}; slowest: {fed.slowest}")
    return ends


@pytest.mark.fault("B03")
def test_a_thousand_mutants_of_good_pictures_do_no_harm(tmp_path: Path) -> None:
    ends = hold_for_mutants(tmp_path, FOR_CI, seed=0)
    assert {"damaged", "truncated", "review"} <= ends.keys()
    assert ends["damaged"] + ends["truncated"] > FOR_CI / 3, "most of them are really bad"


@pytest.mark.fault("B03")
@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(1, 6))
def test_thousands_of_mutants_do_no_harm(tmp_path: Path, seed: int) -> None:
    hold_for_mutants(tmp_path, FOR_TORTURE // 5, seed)


@pytest.mark.fault("B03")
def test_a_mutant_comes_again_by_its_name() -> None:
    seen = {name.split("-")[2] for name, _ in mutants(60)}
    assert seen == set(DAMAGES)
    for number in (3, 59):
        name, data = mutant(0, number)
        made = subprocess.run([sys.executable, "-m", "tests.faults.mutants", name], capture_output=True, check=True)
        assert made.stdout == data


@pytest.mark.fault("B03")
def test_what_mutants_are_made_of_is_good(tmp_path: Path) -> None:
    assert len(good()) >= 20
    fed = feed(fresh_root(tmp_path / "birds"), good().items())
    assert {fate.state for fate in fed.fates.values()} <= {"review", "empty"}
    hold_the_law(fed)
