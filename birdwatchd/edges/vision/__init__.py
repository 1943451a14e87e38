"""The eye and the mind: the spotter, which finds the bird, and the classifier, which names it; both ONNX files, proved before use."""

from birdwatchd.edges.vision.classifier import Classifier
from birdwatchd.edges.vision.spotter import (
    CPU_BATCH_MAX,
    ProviderUnavailable,
    Session,
    Spotter,
    engines_of,
    open_onnx_session,
    usable_cores,
)

__all__ = [
    "CPU_BATCH_MAX",
    "Classifier",
    "ProviderUnavailable",
    "Session",
    "Spotter",
    "engines_of",
    "open_onnx_session",
    "usable_cores",
]
