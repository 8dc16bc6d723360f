"""Which of OpenCV's readers a stranger's file can reach: that of PNG, and no other."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.face.label_map import read_label_map
from vision.face.options import FaceError
from vision.photo import PhotoError, inspect

ROOT = Path(__file__).parents[3]
SERVED = ("vision", "steps", "gateway", "model_repository")
READERS = re.compile(
    r"cv2\.(imread\w*|imdecode\w*|imcount|haveImageReader|VideoCapture|FileStorage|Animation|imreadanimation)\b"
)
IMAGE = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8)


def encoded(suffix: str, image: np.ndarray = IMAGE) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


FOREIGN = {
    **{suffix: encoded(suffix) for suffix in (".jp2", ".webp", ".tiff", ".bmp", ".jpg", ".ppm", ".sr")},
    **{suffix: encoded(suffix, IMAGE.astype(np.float32)) for suffix in (".hdr", ".pfm")},
    "GIF": b"GIF89a" + bytes(64),
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(64),
    "J2K codestream": b"\xff\x4f\xff\x51\x00\x2f" + bytes(64),
    "EXR": b"v/1\x01\x02\x00\x00\x00" + bytes(64),
    "PSD": b"8BPS\x00\x01" + bytes(64),
    "PAM": b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\x00",
    "XBM": b"#define x_width 8\n#define x_height 1\n",
    "a PNG later on": bytes(8) + encoded(".png"),
    "half a signature": encoded(".png")[:7],
}
NOT_PHOTOS = [".jp2", ".ppm", ".sr", ".hdr", ".pfm", "J2K codestream", "EXR", "PSD", "PAM", "XBM", "a PNG later on"]


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is given to OpenCV to be read."""
    reached: list[bytes] = []
    monkeypatch.setattr(cv2, "imdecode", lambda data, _flags: reached.append(data.tobytes()))
    return reached


@pytest.mark.parametrize("kind", FOREIGN)
def test_nothing_but_a_png_reaches_opencv_as_a_label_map(kind: str, reached: list[bytes]) -> None:
    with pytest.raises(FaceError) as caught:
        read_label_map(FOREIGN[kind])
    assert caught.value.code in {"segmentation_unsupported", "label_map_lossy"}
    assert reached == []


@pytest.mark.parametrize("kind", NOT_PHOTOS)
def test_a_file_that_is_not_a_photo_is_refused_by_its_first_bytes(kind: str) -> None:
    with pytest.raises(PhotoError) as caught:
        inspect(FOREIGN[kind])
    assert caught.value.code == "image_unsupported"


def test_a_png_reaches_the_decoder(reached: list[bytes]) -> None:
    with pytest.raises(FaceError):
        read_label_map(encoded(".png"))
    assert [data[:8] for data in reached] == [b"\x89PNG\r\n\x1a\n"]


def test_opencv_reads_files_in_two_places_alone() -> None:
    """A label map, above, and the copy of a film's frame that the command line asked for as PNG."""
    found = {
        str(path.relative_to(ROOT)): READERS.findall(path.read_text(encoding="utf-8"))
        for folder in SERVED
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {path: names for path, names in found.items() if names} == {
        "gateway/cli/videos.py": ["imdecode"],
        "vision/face/label_map.py": ["imdecode"],
    }
