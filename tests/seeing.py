"""A classifier that looks at photos itself, small enough to be made in a moment: it names them by their mean colour."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from birdwatchd.core.manifest import EMBEDDING_WIDTH, golden_pixels
from birdwatchd.core.naming import Card, GoldenName, golden_embedding
from birdwatchd.core.preprocess import SPOTTER_RECIPE, ModelInput, Recipe, to_model_input
from birdwatchd.training import export
from birdwatchd.training.linear import RULE_FOR_FEW, NoveltyRule, Weights, as_features, softmax

LABELS = ("greenfinch", "redstart")
MATRIX = np.array([[-8.0, 8.0], [8.0, -8.0], [0.0, 0.0]])
"""Red counts for the redstart, green for the greenfinch."""


def colour_blind_to_nothing(
    folder: Path, *, spotter_id: str, recipe: Recipe = SPOTTER_RECIPE, strange_above: float = 1.1
) -> Path:
    """Write such a model, golden answers and all; returns its file."""
    weights = Weights(
        matrix=np.zeros((EMBEDDING_WIDTH, 2)),
        offset=np.zeros(2),
        middles=np.eye(2, EMBEDDING_WIDTH),
        neighbours=np.eye(2, EMBEDDING_WIDTH),
    )
    rule: NoveltyRule = RULE_FOR_FEW
    questions = np.concatenate(
        [to_model_input(golden_pixels(seed, recipe.size_px), recipe) for seed in export.GOLDEN_SEEDS]
    )
    features = as_features(np.stack([golden_embedding(seed) for seed in export.GOLDEN_SEEDS]))
    card = Card(
        kind="finetuned",
        labels=LABELS,
        spotter_id=spotter_id,
        sure_above=(0.6, 0.6),
        strange_above=strange_above,
        recipe={"training_id": 1},
        fingerprint="f" * 64,
        parent_sha256=None,
        golden=(GoldenName(0, (0.0, 0.0), 0.0),),
        pixels=recipe,
    )
    golden = export.golden(answers(questions), rule.of(weights.signs(features)))
    card = Card(**{name: getattr(card, name) for name in card.__dataclass_fields__} | {"golden": golden})
    return export.write_finetuned(folder, card, _network(recipe.size_px), weights, rule)


def answers(pixels: ModelInput) -> npt.NDArray[np.float64]:
    """What it must say of photos."""
    return softmax(pixels.astype(np.float64).mean(axis=(2, 3)) @ MATRIX)


def _network(size_px: int) -> onnx.ModelProto:
    number = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["pixels", "plane"], ["means"], keepdims=0),
            helper.make_node("MatMul", ["means", "matrix"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "colours",
        [helper.make_tensor_value_info("pixels", number, ["photos", 3, size_px, size_px])],
        [helper.make_tensor_value_info("probabilities", number, ["photos", 2])],
        [
            numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "plane"),
            numpy_helper.from_array(MATRIX.astype(np.float32), "matrix"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", export.OPSET)], ir_version=10)
