"""Checkpoint catalogue, fetching, and the translation of checkpoints to ONNX with parity reports."""
