"""`maskwright run privacy_blur` on videos, with a real ffmpeg."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.ffmpeg import FfmpegError, find_ffmpeg, frame_rate, read_frames

FRAMES, MISSED, RATE = 12, 6, "24000/1001"
FACE = (slice(90, 150), slice(200, 250))
"""Rows and columns inside the astronaut's face."""
GREEN = (0, 200, 0)

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    try:
        return find_ffmpeg()
    except FfmpegError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def video(ffmpeg: str, astronaut: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face for half a second, in one frame nothing but green; with a tone, and a place in its metadata."""
    path = tmp_path_factory.mktemp("videos") / "film.mov"
    size = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", "511x511", "-framerate", RATE, "-i", "-"]
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.5"]
    coding = ["-vf", "pad=512:512", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    place = ["-metadata", "location=+52.5+013.4/", "-metadata", "title=home"]
    raw = b"".join(frame.tobytes() for frame in frames(astronaut))
    subprocess.run([ffmpeg, "-v", "error", *size, *tone, *coding, *place, str(path)], input=raw, check=True)
    return path


def frames(astronaut: Path) -> Iterator[np.ndarray]:
    photo = cv2.imread(str(astronaut))[:511, :511]
    for number in range(FRAMES):
        frame = photo.copy()
        if number == MISSED:
            frame[:] = GREEN
        yield frame


def decoded(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    read = []
    while (frame := capture.read())[0]:
        read.append(frame[1])
    return read


def run(gateway_url: str, names: list[Path], out: Path) -> tuple[int, str]:
    arguments = ["run", "privacy_blur", *map(str, names), "-o", str(out), "--url", gateway_url]
    ended = CliRunner().invoke(app, [*arguments, "--hide", "faces", "--style", "solid"])
    return ended.exit_code, ended.output


def test_a_frame_in_which_a_face_is_missed_stays_hidden(gateway_url: str, video: Path, tmp_path: Path) -> None:
    code, output = run(gateway_url, [video], tmp_path)
    assert code == 0, output
    assert "0/0" not in output, "a bar of no photos"
    copies = decoded(tmp_path / "film.mp4")
    assert len(copies) == FRAMES
    for copy in copies:
        assert copy.shape == (512, 512, 3)
        assert copy[FACE].max() < 24, "black, not skin and not green"
        assert copy[300:420, 10:90].mean() > 24


def test_sound_and_speed_stay_and_metadata_goes(gateway_url: str, ffmpeg: str, video: Path, tmp_path: Path) -> None:
    run(gateway_url, [video], tmp_path)
    copy = tmp_path / "film.mp4"
    told = subprocess.run([ffmpeg, "-i", str(copy)], capture_output=True, text=True, check=False).stderr
    assert "Audio: aac" in told
    assert "23.98 fps" in told
    assert "52.5" not in told
    assert "home" not in told


async def test_frames_come_one_by_one_with_their_rate(video: Path) -> None:
    assert await frame_rate(video) == RATE
    read = [frame async for frame in read_frames(video)]
    assert len(read) == FRAMES
    assert all(frame.startswith(b"\xff\xd8") and frame.endswith(b"\xff\xd9") for frame in read)


def test_what_is_no_video_is_reported_and_the_photo_beside_it_done(
    gateway_url: str, ffmpeg: str, astronaut: Path, tmp_path: Path
) -> None:
    assert ffmpeg
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    code, output = run(gateway_url, [broken, astronaut], tmp_path / "out")
    assert code == 1
    assert "video_error" in output
    assert (tmp_path / "out" / "astronaut.png").is_file()
    assert not (tmp_path / "out" / "broken.mp4").exists()
