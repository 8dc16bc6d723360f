"""The checkpoint catalogue, fetching, and the translation of checkpoints to ONNX with parity reports."""

import os

# From 1.29 on, onnxruntime reports sessions and models to its maker. It reads this variable when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
