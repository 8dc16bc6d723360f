"""The photo that is measured with."""

from pathlib import Path

import cv2

SIZE = (1024, 768)


def benchmark_jpeg(photo: Path) -> bytes:
    """A 1024×768 JPEG of a photo, quality 90."""
    pixels = cv2.resize(cv2.imread(str(photo)), SIZE, interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
