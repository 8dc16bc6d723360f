"""Networks whose checkpoints users bring: which there are, how a file becomes a model, and the networks in PyTorch.

`schp`, `bisenet`, `openpose`, `graph` and `checkpoint` import torch, and are imported when a file needs them.
"""
