"""The eye and the mind: the spotter, which finds the bird, and the classifier, which names it; both ONNX files, proved before use."""

from birdwatchd.edges.vision.classifier import Classifier, read_card
from birdwatchd.edges.vision.sessions import (
    ProviderUnavailable,
    Session,
    engines_of,
    open_onnx_session,
    usable_cores,
)
from birdwatchd.edges.vision.spotter import CPU_BATCH_MAX, Scene, Spotter

__all__ = [
    "CPU_BATCH_MAX",
    "Classifier",
    "ProviderUnavailable",
    "Scene",
    "Session",
    "Spotter",
    "engines_of",
    "open_onnx_session",
    "read_card",
    "usable_cores",
]
