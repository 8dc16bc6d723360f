"""The steps of the pipelines: named tensors in and out, both in a Triton ensemble and inside one process."""

import os

# From 1.29 on, onnxruntime reports sessions and models to its maker. It reads this variable when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
