"""The configuration of a detector in the model repository."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

_TEMPLATE = """# {model}: added from {source!r}. Rows x1, y1, x2, y2 (input pixels), score, class; best first.
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: {batch}
input [
  {{ name: "image" data_type: TYPE_UINT8 dims: [ {image} ] }}
]
output [
  {{ name: "detections" data_type: TYPE_FP32 dims: [ {rows} ] }}
]
{batching}instance_group [ {{ count: 2 }} ]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "session.intra_op.allow_spinning" value {{ string_value: "0" }} }}
parameters {{
  key: "detector"
  value {{ string_value: {detector} }}
}}
"""
_LARGEST_BATCH = 8


@dataclass(frozen=True)
class DetectorCard:
    """What the pipelines must know of a detector; `size` is (width, height) of its input."""

    role: str
    labels: Sequence[str]
    fit: str
    size: tuple[int, int]
    iou: float
    added: bool = True
    """Whether it takes the place of the detector that came with the house."""


def config_text(model: str, source: str, card: DetectorCard, *, batches: bool) -> str:
    """config.pbtxt; a model that does not take batches has its one image as first dimension."""
    width, height = card.size
    image, rows = [height, width, 3], [-1, 6]
    if not batches:
        image, rows = [1, *image], [1, *rows]
    return _TEMPLATE.format(
        model=model,
        source=source,
        batch=_LARGEST_BATCH if batches else 0,
        image=", ".join(map(str, image)),
        rows=", ".join(map(str, rows)),
        batching="dynamic_batching { }\n" if batches else "",
        detector=json.dumps(json.dumps(asdict(card))),
    )
