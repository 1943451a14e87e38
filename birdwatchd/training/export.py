"""Write a model as one ONNX file that says of itself what it is: no other file belongs to it."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import compose, helper, numpy_helper

from birdwatchd.core.manifest import EMBEDDING_WIDTH
from birdwatchd.core.naming import Card, GoldenName, golden_embedding
from birdwatchd.training.linear import NoveltyRule, Weights, as_features

OPSET = 18
IR_VERSION = 8
GOLDEN_SEEDS = (1, 2, 3)


def answers(
    weights: Weights, rule: NoveltyRule, temperature: float, embeddings: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What the exported file must answer: probabilities (N, labels) and novelties (N,)."""
    features = as_features(embeddings)
    scaled = weights.logits(features) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True), rule.of(weights.signs(features))


def golden(probabilities: npt.NDArray[np.float64], novelty: npt.NDArray[np.float64]) -> tuple[GoldenName, ...]:
    """The answers to the questions of `GOLDEN_SEEDS`, for a card."""
    return tuple(
        GoldenName(seed, tuple(map(float, row)), float(one))
        for seed, row, one in zip(GOLDEN_SEEDS, probabilities, novelty, strict=True)
    )


def write_linear(folder: Path, card: Card, weights: Weights, rule: NoveltyRule, temperature: float) -> Path:
    """Write the model; its name ends with the first digits of its own SHA-256.

    Args:
        card: its golden answers are worked out here.
    """
    questions = np.stack([golden_embedding(seed) for seed in GOLDEN_SEEDS])
    nodes, constants = _from_embedding(weights, rule, temperature)
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes, "linear classifier on spotter embeddings", [EMBEDDING], _outputs(weights), constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return _write(folder, replace(card, golden=golden(*answers(weights, rule, temperature, questions))), model)


def write_finetuned(folder: Path, card: Card, network: onnx.ModelProto, weights: Weights, rule: NoveltyRule) -> Path:
    """Write a fine-tuned network with the linear lesson's sense of what is strange beside it; named as `write_linear` does.

    Args:
        card: with its golden answers.
        network: `pixels` in, `probabilities` out, of this page's opset.
    """
    network = compose.add_prefix(network, "network/", rename_inputs=False, rename_outputs=False)
    nodes, constants = _from_embedding(weights, rule, 1.0)
    graph = helper.make_graph(
        [*network.graph.node, *nodes],
        "fine-tuned classifier",
        [*network.graph.input, EMBEDDING],
        _outputs(weights),
        [*network.graph.initializer, *constants],
    )
    model = helper.make_model(
        graph,
        opset_imports=network.opset_import,
        ir_version=max(network.ir_version, IR_VERSION),
        functions=network.functions,
    )
    return _write(folder, card, model)


def _write(folder: Path, card: Card, model: onnx.ModelProto) -> Path:
    model.producer_name = "birdwatchd"
    helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model)
    content = model.SerializeToString(deterministic=True)
    path = folder / f"{card.kind}-{hashlib.sha256(content).hexdigest()[:16]}.onnx"
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


EMBEDDING = helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["photos", EMBEDDING_WIDTH])


def _outputs(weights: Weights) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["photos", weights.matrix.shape[1]]),
        helper.make_tensor_value_info("novelty", onnx.TensorProto.FLOAT, ["photos"]),
    ]


def _from_embedding(
    weights: Weights, rule: NoveltyRule, temperature: float
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The part that both kinds share: `embedding` in, `novelty` out, and on the way `logits`, divided by the temperature."""

    def constant(name: str, value: object) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(value, dtype=np.float32), name)

    constants = [
        constant("nothing", 0.0),
        constant("hardly_anything", 1e-12),
        constant("matrix", weights.matrix / temperature),
        constant("offset", weights.offset / temperature),
        constant("temperature", temperature),
        constant("middles", weights.middles.T),
        constant("neighbours", weights.neighbours.T),
        constant("novelty_weights", rule.weights.reshape(3, 1)),
        constant("novelty_bias", [rule.bias]),
        numpy_helper.from_array(np.array([2], dtype=np.int64), "two"),
        numpy_helper.from_array(np.array([0], dtype=np.int64), "first"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "second"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "last_axis"),
    ]
    node = helper.make_node
    nodes = [
        node("Max", ["embedding", "nothing"], ["positive"]),
        node("Sqrt", ["positive"], ["roots"]),
        node("ReduceL2", ["roots", "last_axis"], ["length"], keepdims=1),
        node("Max", ["length", "hardly_anything"], ["safe_length"]),
        node("Div", ["roots", "safe_length"], ["features"]),
        node("MatMul", ["features", "matrix"], ["weighed"]),
        node("Add", ["weighed", "offset"], ["logits"]),
        node("TopK", ["logits", "two"], ["best_two", "places"], axis=1, largest=1, sorted=1),
        node("Gather", ["best_two", "first"], ["best"], axis=1),
        node("Gather", ["best_two", "second"], ["next_best"], axis=1),
        node("Sub", ["best", "next_best"], ["scaled_margin"]),
        node("Mul", ["scaled_margin", "temperature"], ["margin"]),
        node("MatMul", ["features", "middles"], ["to_middles"]),
        node("ReduceMax", ["to_middles", "last_axis"], ["nearest_middle"], keepdims=1),
        node("MatMul", ["features", "neighbours"], ["to_neighbours"]),
        node("ReduceMax", ["to_neighbours", "last_axis"], ["nearest"], keepdims=1),
        node("Concat", ["nearest_middle", "nearest", "margin"], ["signs"], axis=1),
        node("MatMul", ["signs", "novelty_weights"], ["weighed_signs"]),
        node("Add", ["weighed_signs", "novelty_bias"], ["strangeness"]),
        node("Sigmoid", ["strangeness"], ["novelty_column"]),
        node("Squeeze", ["novelty_column", "last_axis"], ["novelty"]),
    ]
    return nodes, constants
