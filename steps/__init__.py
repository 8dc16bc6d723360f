"""The steps of the pipelines: named tensors in, named tensors out, in a Triton ensemble and in one process alike."""

import os

# From 1.29 on, onnxruntime reports sessions and models to its maker over the network; it reads this as it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
