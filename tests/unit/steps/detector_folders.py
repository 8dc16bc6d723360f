"""Folders of detectors, as the model repository has them."""

import json
from pathlib import Path

MODEL = b"\x08\x08\x3a\x00"
"""The least that an ONNX file is: its version, and a graph of nothing."""


def add_detector(
    repository: Path,
    model: str,
    role: str,
    labels: tuple[str, ...] = ("face",),
    *,
    added: bool = True,
    ready: bool = True,
) -> None:
    """Write a configuration that says nothing but what a detector is for, and a file in place of its model."""
    card = {"role": role, "labels": labels, "fit": "stretch", "size": [64, 64], "iou": 0.5, "added": added}
    (repository / model / "1").mkdir(parents=True)
    value = json.dumps(json.dumps(card))
    (repository / model / "config.pbtxt").write_text(
        f'backend: "onnxruntime" parameters {{ key: "detector" value {{ string_value: {value} }} }}'
    )
    if ready:
        (repository / model / "1" / "model.onnx").write_bytes(MODEL)
