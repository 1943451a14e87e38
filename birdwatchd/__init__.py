"""birdwatchd: drop camera photos into a folder, find the birds named and filed."""

import os

__version__ = "0.1.0"

# Since 1.31 ONNX Runtime, when it is imported, keeps a device number below the home folder and tries to report to its makers
# (microsoft/onnxruntime#27379); its own call to switch that off comes too late. Nothing here talks to anybody, so this is said
# before anything can import it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
