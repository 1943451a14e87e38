"""The whole way, with the real program: real photos wait, and a person names them in a real Chromium by keys alone."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from birdwatchd.edges.store import Store
from tests.service.running import birdwatchd, daemon, until
from tests.web.conftest import OpenPage
from tests.web.reviewing import Person, labels, wait_for_answers
from tests.web.serving import page_of

pytestmark = pytest.mark.alone

SPECIES, NAMED, WAITING = 10, 5, 10
SEED = int(os.environ.get("BIRDWATCHD_TEST_SEED", "1"))
PRESSES = 60
RIGHT = 97


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_photos_of_ten_species_are_named_with_sixty_keys(
    seeing_root: Path, real_photos: Path, open_page: OpenPage, tell: Callable[[str], None]
) -> None:
    """Five named photos of each species are there, and no model yet. The person sees what is on the photos, and makes no mistake."""
    root, chance = seeing_root, np.random.default_rng(SEED)
    all_species = sorted(folder.name for folder in (real_photos / "birds").iterdir())
    species = [all_species[one] for one in chance.choice(len(all_species), SPECIES, replace=False)]
    tree, wanted = root.parent / "named", {}
    drops: list[tuple[Path, Path]] = []
    for one in species:
        photos = sorted((real_photos / "birds" / one).glob("*.jpg"))
        chosen = [photos[number] for number in chance.choice(len(photos), NAMED + WAITING, replace=False)]
        (tree / one).mkdir(parents=True)
        for photo in chosen[:NAMED]:
            shutil.copy(photo, tree / one)
        for photo in chosen[NAMED:]:
            name = f"{len(drops):03}.jpg"  # tells nothing
            drops.append((photo, root / "inbox" / name))
            wanted[name] = one
    environment = {"BIRDWATCHD_TRAINING__ENABLED": "false", "BIRDWATCHD_SPOTTER__EMPTY_BELOW": "0"}
    with daemon(root, environment=environment), page_of(root, environment=environment) as served:
        imported = birdwatchd("import", tree, root=root)
        assert imported.returncode == 0, imported.stderr
        for photo, place in drops:
            shutil.copy(photo, place)
        until("all photos wait", lambda: len(truth_of(root, wanted)) == SPECIES * WAITING)
        person = Person(open_page(served, "/review"), truth_of(root, wanted))
        person.answer_all()
        assert "Thank you" in person.page.inner_text("#end")
        wait_for_answers(root)
    given = labels(root)
    right = sum(given[photo_id] == (name, f"library/{name}") for photo_id, name in person.truth.items())
    tell(f"seed {SEED}: {person.presses} key presses for {len(given)} photos, {right} named right and in their folders")
    assert len(given) == SPECIES * WAITING
    assert person.presses <= PRESSES
    assert right >= RIGHT


def truth_of(root: Path, wanted: dict[str, str]) -> dict[int, str]:
    """What is on each photo that waits."""
    with Store.read_only(root / "birdwatchd.db") as store:
        rows = store.connection.rows("SELECT id, original_name FROM photos WHERE state = 'review'")
    return {row["id"]: wanted[row["original_name"]] for row in rows}
