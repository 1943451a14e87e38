"""Model files that are not what was promoted: none of them ever names a bird, and the daemon says so."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from birdwatchd.core.errors import ModelDamaged
from birdwatchd.edges.vision import Classifier
from tests.books import content
from tests.fakes import StubSpotter
from tests.gardens import Garden, five, with_two_models

SPOTTER_ID = StubSpotter().id
CARD = "birdwatchd.classifier"
Card = dict[str, Any]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of it are lived in."""
    return with_two_models(tmp_path_factory.mktemp("garden"))


@pytest.fixture
def garden(template: Path, tmp_path: Path) -> Iterator[Garden]:
    one = Garden(shutil.copytree(template, tmp_path / "birdwatch"))
    one.leap_s = 200
    yield one
    one.close()


@pytest.fixture(scope="module")
def whole(template: Path) -> bytes:
    """A real model of two species."""
    with closing(sqlite3.connect(template / "birdwatchd.db")) as db:
        (path,) = db.execute("SELECT path FROM models WHERE id = 1").fetchone()
    return (template / str(path)).read_bytes()


def model_file(garden: Garden, model_id: int) -> Path:
    return garden.root / str((garden.store.models.get(model_id) or {})["path"])


def load(folder: Path, data: bytes, name: str | None = None) -> Classifier:
    """Write the file, by default under the name that fits its content, and load it."""
    path = folder / (name or named_by(data))
    path.write_bytes(data)
    try:
        return Classifier.load(path, model_id=1, spotter_id=SPOTTER_ID)
    finally:
        path.unlink()


def named_by(data: bytes) -> str:
    return f"linear-{content(data)[:16]}.onnx"


# -- what can happen to bytes


def cut(data: bytes, chance: np.random.Generator) -> bytes:
    return data[: int(chance.integers(len(data)))]


def one_bit_flipped(data: bytes, chance: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[chance.integers(len(data))] ^= 1 << int(chance.integers(8))
    return bytes(changed)


def a_block_of_zeros(data: bytes, chance: np.random.Generator) -> bytes:
    """As a file system leaves it that wrote the length and not the content."""
    start = int(chance.integers(len(data) // 512)) * 512
    return data[:start] + bytes(len(data[start : start + 512])) + data[start + 512 :]


def a_block_of_another_place(data: bytes, chance: np.random.Generator) -> bytes:
    source, target = (512 * int(place) for place in chance.choice(len(data) // 512, 2, replace=False))
    return data[:target] + data[source : source + 512] + data[target + 512 :]


def longer(data: bytes, chance: np.random.Generator) -> bytes:
    return data + chance.bytes(int(chance.integers(1, 50)))


@pytest.mark.parametrize("damage", [cut, one_bit_flipped, a_block_of_zeros, a_block_of_another_place, longer])
def test_a_changed_byte_anywhere_is_found(
    whole: bytes, tmp_path: Path, damage: Callable[[bytes, np.random.Generator], bytes]
) -> None:
    """60 of each kind; and files that were cut once more under the name that fits what is left."""
    assert load(tmp_path, whole).card.labels == ("greenfinch", "redstart")
    chance = np.random.default_rng(1)
    mutants = [changed for _ in range(60) if (changed := damage(whole, chance)) != whole]
    assert len(mutants) >= 50
    for changed in mutants:
        with pytest.raises(ModelDamaged, match="does not fit the hash"):
            load(tmp_path, changed, named_by(whole))
    if damage is cut:
        for changed in mutants:
            with pytest.raises(ModelDamaged):
                load(tmp_path, changed)


def test_a_whole_file_under_another_name_is_refused(whole: bytes, tmp_path: Path) -> None:
    right = content(whole)[:16]
    for name in (
        f"linear-{right[::-1]}.onnx",
        "linear.onnx",
        f"{right}.onnx",
        f"linear-{right[:15]}.onnx",
        f"linear-{right}",
    ):
        with pytest.raises(ModelDamaged, match="does not fit the hash"):
            load(tmp_path, whole, name)


# -- files whose name fits their content, but which say the wrong thing


def with_card(data: bytes, change: Callable[[Card], object]) -> bytes:
    """The same model with something else on its card; `change` alters the card, or returns another."""
    model = onnx.load_from_string(data)
    properties = {one.key: one.value for one in model.metadata_props}
    card = json.loads(properties[CARD])
    other = change(card)
    properties[CARD] = other if isinstance(other, str) else json.dumps(card)
    return with_metadata(model, properties)


def with_metadata(model: onnx.ModelProto, properties: Mapping[str, str]) -> bytes:
    del model.metadata_props[:]
    helper.set_model_props(model, dict(properties))
    return bytes(model.SerializeToString(deterministic=True))


def put(**entries: object) -> Callable[[Card], object]:
    return lambda card: card.update(entries)


def drop(name: str) -> Callable[[Card], object]:
    def change(card: Card) -> None:
        del card[name]

    return change


def golden_off_by(part: int, much: float) -> Callable[[Card], object]:
    def change(card: Card) -> None:
        if part == 1:
            card["golden"][0][1][0] += much
        else:
            card["golden"][0][part] += much

    return change


WRONG_CARDS: dict[str, Callable[[Card], object]] = {
    "of another spotter": put(spotter_id="6" * 16),
    "of no spotter": drop("spotter_id"),
    "of a later format": put(format_version=2),
    "of an earlier format": put(format_version=0),
    "of no format": drop("format_version"),
    "of an unknown kind": put(kind="forest"),
    "no labels": put(labels=[]),
    "a label too few": put(labels=["greenfinch"]),
    "a label too many": lambda card: card.update(labels=[*card["labels"], "jay"], sure_above=[0.5] * 3),
    "a label twice": put(labels=["redstart", "redstart"]),
    "a label that leaves the folder": put(labels=["greenfinch", "../redstart"]),
    "a label with a slash": put(labels=["greenfinch", "red/start"]),
    "labels that are a number": put(labels=7),
    "a threshold too few": put(sure_above=[0.5]),
    "a threshold that is no number": put(sure_above=[0.5, float("nan")]),
    "an infinite threshold": put(sure_above=[0.5, float("inf")]),
    "a novelty that is no number": put(strange_above=float("nan")),
    "a novelty that is text": put(strange_above="much"),
    "no novelty": drop("strange_above"),
    "no golden answers": put(golden=[]),
    "golden answers of three labels": lambda card: card["golden"][0][1].append(0.0),
    "a golden probability a little off": golden_off_by(1, 0.001),
    "a golden novelty a little off": golden_off_by(2, 0.001),
    "another golden question": golden_off_by(0, 1),
    "golden answers that are no number": golden_off_by(1, float("nan")),
    "more than this version knows": put(mood="good"),
    "a list": lambda _: "[]",
    "no JSON": lambda _: "{",
    "nothing": lambda _: "",
    "brackets without end": lambda _: "[" * 100_000,
}


@pytest.mark.parametrize("what", WRONG_CARDS)
def test_a_card_that_cannot_be_used_is_refused_though_the_hash_fits(whole: bytes, tmp_path: Path, what: str) -> None:
    with pytest.raises(ModelDamaged):
        load(tmp_path, with_card(whole, WRONG_CARDS[what]))


def without_card(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def weights_of_zeros(name: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        (tensor,) = (one for one in model.graph.initializer if one.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(tensor)), name))

    return change


def weights_in_another_file(model: onnx.ModelProto) -> None:
    (tensor,) = (one for one in model.graph.initializer if one.name == "matrix")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def an_unknown_step(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Maximum"


def another_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 640


def an_output_missing(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def no_network(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


@pytest.mark.parametrize(
    "change",
    [
        without_card,
        weights_of_zeros("matrix"),
        weights_of_zeros("middles"),
        weights_of_zeros("novelty_bias"),
        weights_in_another_file,
        an_unknown_step,
        another_input,
        an_output_missing,
        no_network,
    ],
)
def test_a_network_that_does_not_fit_its_card_is_refused_though_the_hash_fits(
    whole: bytes, tmp_path: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    model = onnx.load_from_string(whole)
    change(model)
    with pytest.raises(ModelDamaged):
        load(tmp_path, model.SerializeToString(deterministic=True))


@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"<!DOCTYPE html>", b"\xff" * 64])
def test_what_is_no_model_at_all_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelDamaged):
        load(tmp_path, data)


# -- what the daemon makes of it


def flipped(path: Path) -> None:
    path.write_bytes(one_bit_flipped(path.read_bytes(), np.random.default_rng(2)))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


def unreadable(path: Path) -> None:
    """As a disk that gives an error: a folder stands there, which cannot be read either."""
    path.unlink()
    path.mkdir()


DAMAGES = [flipped, emptied, gone, unreadable]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_not_taken_back_and_the_one_in_use_still_names_birds(
    garden: Garden, damage: Callable[[Path], None]
) -> None:
    damage(model_file(garden, 1))
    refused = garden.wish("rollback")
    assert refused.outcome == "failed"
    assert refused.result["hint"].startswith("nothing was changed")
    assert "request" not in garden.problems()
    assert (garden.serving(), garden.named_by(("bluetit", 300))) == (2, 2)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_model_that_is_damaged_as_it_takes_over_leaves_the_old_one_in_use_until_it_is_whole_again(
    garden: Garden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    whole: dict[Path, bytes] = {}
    enter = garden.store.models.enter

    def enter_and_damage(*arguments: Any, **named: Any) -> int:
        model_id = enter(*arguments, **named)
        path = model_file(garden, model_id)
        whole[path] = path.read_bytes()
        damage(path)
        return model_id

    monkeypatch.setattr(garden.store.models, "enter", enter_and_damage)
    garden.leap_s += 100
    garden.bring(tmp_path / "tree", *five("redstart", 20), *five("greenfinch", 20))
    garden.learn()
    garden.sweep()
    assert garden.outcomes()[-1] == "promoted"
    assert "model 2 still" in garden.problems()["model"]
    assert garden.named_by(("bluetit", 300)) == 2
    ((path, data),) = whole.items()
    if path.is_dir():
        path.rmdir()
    path.write_bytes(data)
    garden.sweep()
    assert "model" not in garden.problems()
    assert garden.named_by(("bluetit", 301)) == 3


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_daemon_that_finds_its_model_damaged_starts_without_it_and_says_so_until_another_serves(
    garden: Garden, damage: Callable[[Path], None]
) -> None:
    damage(model_file(garden, 2))
    second = Garden(garden.root)
    try:
        assert "nobody" in second.problems()["model"]
        assert second.named_by(("bluetit", 300)) is None
        assert second.wish("rollback").result["model_id"] == 1
        assert "model" not in second.problems()
        assert second.named_by(("redstart", 300)) == 1
    finally:
        second.close()
