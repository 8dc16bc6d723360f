"""Answers of the pipelines, as examples."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.openapi.example_photo import tiny_png
from gateway.results import media_type

_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"'


@dataclass(frozen=True)
class RunExample:
    """What a pipeline found, and one artifact, whose content is cut short."""

    found: Mapping[str, object]
    artifact: str
    beginning: bytes
    size: int

    def answer(self, pipeline: str) -> dict[str, object]:
        """The answer as JSON."""
        content = base64.b64encode(self.beginning).decode("ascii")
        shown = {"content_type": media_type(self.artifact), "bytes": self.size, "base64": content}
        return {
            "request_id": "5f0c1d9be1f94d0f8a4f3f6f5d2b7c11",
            "pipeline": pipeline,
            "status": "completed",
            **self.found,
            "artifacts": {self.artifact: shown},
        }


_KEYPOINTS = [
    *([300.4, 121.7, 0.99], [302.2, 198.0, 0.99], [245.1, 203.6, 0.99], [221.9, 310.2, 0.98], [214.8, 402.5, 0.97]),
    *([359.3, 202.4, 0.99], [381.0, 309.9, 0.98], [390.6, 405.1, 0.96], [264.7, 411.3, 0.99], [259.2, 573.0, 0.97]),
    *([252.5, 721.8, 0.93], [339.9, 412.0, 0.99], [345.4, 574.6, 0.97], [0.0, 0.0, 0.0], [288.6, 108.1, 0.99]),
    *([313.9, 108.9, 0.99], [270.3, 118.4, 0.98], [331.7, 119.6, 0.98]),
]
_PERSON = {"index": 0, "box": [205.5, 48.25, 398.0, 790.75], "score": 0.98, "keypoints": _KEYPOINTS}
_FACE = {
    "index": 0,
    "box": [265.79, 312.7, 830.48, 907.85],
    "score": 0.97,
    "landmarks": 468,
    "rotation": -22.476,
    "transform": [[0.92403864, 0.38229552, -337.6761751], [-0.38229552, 0.92403864, 213.4265214]],
    "crop": {"width": 786, "height": 969},
    "regions": [{"number": 1, "name": "forehead"}, {"number": 2, "name": "nose"}],
}
_OBJECT = {"index": 0, "label": "face", "score": 0.8712, "box": [188.46, 72.91, 262.5, 173.1], "model": "centerface"}
_HIDDEN = {"action": "hidden", "style": "gaussian", "shape": "box", "region": [153, 29, 298, 217]}
_BLUR = {
    "hide": ["faces", "plates"],
    "style": "gaussian",
    "strength": 1.0,
    "hidden": 1,
    "kept": 0,
    "keep": [],
    "format": "jpeg",
    "metadata": ["icc"],
}
_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00"
EXAMPLES: Mapping[str, RunExample] = {
    "body_masks": RunExample(
        {"photo": {"width": 600, "height": 800}, "persons": [_PERSON]}, "upper_body_mask.png", tiny_png()[:15], 4127
    ),
    "face_contours": RunExample(
        {"photo": {"width": 1101, "height": 1100}, "faces": [_FACE]}, "contours.svg", _SVG[:15], 44389
    ),
    "privacy_blur": RunExample(
        {"photo": {"width": 512, "height": 512}, "detections": [{**_OBJECT, **_HIDDEN}], "blur": _BLUR},
        *("blurred.jpg", _JPEG[:15], 61442),
    ),
    "detect": RunExample(
        {"photo": {"width": 512, "height": 512}, "detections": [_OBJECT]}, "detections.json", b'{"photo":{"widt', 152
    ),
}
