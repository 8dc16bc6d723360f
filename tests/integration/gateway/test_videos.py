"""`maskwright run privacy_blur` on videos, with the models."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from tests.films import Coding, watch, write_film
from vision.arrays import RGB

FRAMES, MISSED, RATE = 12, 6, Fraction(24000, 1001)
FACE = (slice(90, 150), slice(200, 250))
"""Rows and columns inside the astronaut's face."""
GREEN = (0, 200, 0)

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def video(astronaut: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face for half a second, in one frame nothing but green; with a tone, and a place in its metadata."""
    path = tmp_path_factory.mktemp("videos") / "film.mov"
    write_film(path, list(frames(astronaut)), Coding(base=1 / RATE, place="+52.5+013.4/"), tone="aac")
    return path


def frames(astronaut: Path) -> Iterator[RGB]:
    photo = cv2.cvtColor(cv2.imread(str(astronaut)), cv2.COLOR_BGR2RGB)
    for number in range(FRAMES):
        frame = photo.copy()
        if number == MISSED:
            frame[:] = GREEN
        yield frame


def run(gateway_url: str, names: list[Path], out: Path, *more: str) -> tuple[int, str]:
    arguments = ["run", "privacy_blur", *map(str, names), "-o", str(out), "--url", gateway_url]
    ended = CliRunner().invoke(app, [*arguments, "--hide", "faces", "--style", "solid", *more])
    return ended.exit_code, ended.output


def test_a_frame_in_which_a_face_is_missed_stays_hidden(gateway_url: str, video: Path, tmp_path: Path) -> None:
    code, output = run(gateway_url, [video], tmp_path)
    assert code == 0, output
    assert "0/0" not in output, "a bar of no photos"
    copy = watch(tmp_path / "film.mp4")
    assert len(copy.pictures) == FRAMES
    for picture in copy.pictures:
        assert picture.shape == (512, 512, 3)
        assert picture[FACE].max() < 24, "black, not skin and not green"
        assert picture[300:420, 10:90].mean() > 24


def test_sound_and_speed_stay_and_metadata_goes(gateway_url: str, video: Path, tmp_path: Path) -> None:
    assert b"52.5" in video.read_bytes()
    run(gateway_url, [video], tmp_path)
    path = tmp_path / "film.mp4"
    copy = watch(path)
    assert copy.tracks == ["video:h264", "audio:aac"]
    assert copy.rate == RATE
    assert b"52.5" not in path.read_bytes()


def test_sound_goes_where_asked(gateway_url: str, video: Path, tmp_path: Path) -> None:
    run(gateway_url, [video], tmp_path, "--audio", "drop")
    assert watch(tmp_path / "film.mp4").tracks == ["video:h264"]


def test_a_broken_video_is_reported_and_the_photo_beside_it_is_done(
    gateway_url: str, astronaut: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    code, output = run(gateway_url, [broken, astronaut], tmp_path / "out")
    assert code == 1
    assert "video_unsupported" in output
    assert (tmp_path / "out" / "astronaut.png").is_file()
    assert not (tmp_path / "out" / "broken.mp4").exists()
