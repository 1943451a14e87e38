"""Same content, same answer: by classify, scan or run, alone or in any company."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdwatchd.edges.store import Store
from tests.service.running import birdwatchd, daemon, until

TOLERANCE = 1e-4


def answers(root: Path) -> dict[str, dict[str, Any]]:
    """Prediction and embedding by content."""
    with Store.read_only(root / "birdwatchd.db") as store:
        rows = store.connection.rows(
            "SELECT sha256, label, probability, predictions.birdness, verdict, vector FROM predictions"
            " JOIN photos ON photos.id = predictions.photo_id JOIN embeddings ON embeddings.photo_id = photos.id"
        )
    return {row["sha256"]: row | {"vector": np.frombuffer(row["vector"], dtype="<f4")} for row in rows}


def differ(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is not other
    return abs(one - other) > TOLERANCE


def test_classify_scan_and_run_agree_for_any_batch(
    real_photos: Path, tmp_path: Path, models_dir: Path, seeing_root: Path
) -> None:
    chosen = [min(species.glob("*.jpg")) for species in sorted((real_photos / "birds").iterdir())][:20]
    chosen += (
        sorted((real_photos / "scenes" / "no-bird").glob("*"))[:6]
        + sorted((real_photos / "scenes" / "bird").glob("*"))[:6]
    )
    (tmp_path / "photos").mkdir()
    photos = [tmp_path / "photos" / f"{one.parent.name}-{one.name}" for one in chosen]
    for one, photo in zip(chosen, photos, strict=True):
        shutil.copy(one, photo)
    said = json.loads(birdwatchd("classify", *photos, "--json", root=seeing_root).stdout)
    assert len({one["sha256"] for one in said}) == len(photos)

    for photo in photos:  # together
        shutil.copy(photo, seeing_root / "inbox")
    assert birdwatchd("scan", root=seeing_root).returncode == 0
    by_scan = answers(seeing_root)

    alone = tmp_path / "alone"
    assert birdwatchd("init", root=alone).returncode == 0
    with daemon(alone, settle_s=0) as running:  # one after the other
        for number, photo in enumerate(photos, 1):
            part = alone / "inbox" / f"{photo.name}.part"
            shutil.copy(photo, part)
            part.rename(part.with_suffix(""))
            until(f"photo {number} judged", lambda number=number: len(answers(alone)) == number)  # type: ignore[misc]
        assert running.stop() == 0
    by_run = answers(alone)

    assert by_scan.keys() == by_run.keys() == {one["sha256"] for one in said}
    for one in said:
        for other in (by_scan[one["sha256"]], by_run[one["sha256"]]):
            assert one["label"] == other["label"]
            assert one["verdict"] == other["verdict"]
            assert not differ(one["probability"], other["probability"])
            assert not differ(one["birdness"], other["birdness"])
        np.testing.assert_allclose(
            by_scan[one["sha256"]]["vector"], by_run[one["sha256"]]["vector"], atol=TOLERANCE, err_msg=one["file"]
        )
    embeddings = np.stack([row["vector"] for row in by_scan.values()])
    assert embeddings.shape == (len(photos), 1280)
    assert np.linalg.norm(embeddings[0] - embeddings[1]) > 1, "two photos are two answers"


def test_classify_touches_nothing(real_photos: Path, seeing_root: Path) -> None:
    photo = next((real_photos / "birds").glob("*/*.jpg"))
    before = sorted((path.as_posix(), path.lstat().st_mtime_ns) for path in seeing_root.rglob("*"))
    assert birdwatchd("classify", photo, root=seeing_root).returncode == 0
    assert sorted((path.as_posix(), path.lstat().st_mtime_ns) for path in seeing_root.rglob("*")) == before


@pytest.mark.parametrize(("kind", "at_least", "at_most"), [("scenes/no-bird/*", 0.98, 1.0), ("birds/*/*", 0.0, 0.01)])
def test_empty_frames_are_told_from_birds(
    real_photos: Path, seeing_root: Path, kind: str, at_least: float, at_most: float
) -> None:
    photos = sorted(real_photos.glob(kind))
    photos = photos[:: max(1, len(photos) // 400)]
    said = json.loads(birdwatchd("classify", *photos, "--json", root=seeing_root).stdout)
    share = sum(one["verdict"] == "empty" for one in said) / len(said)
    assert at_least <= share <= at_most
