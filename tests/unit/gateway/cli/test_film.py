"""Which films are read, and what is read of them."""

import os
import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from gateway.cli.photo_paths import NamedPhoto
from gateway.cli.video_reader import Bounds, Damage, VideoError, is_cut, open_video, pictures_of, read_frames, survey
from tests.films import Coding, scene, write_film

BOUNDS = Bounds(frames=100, seconds=100)
NOISE = np.random.default_rng(0).integers(0, 255, (20, 64, 96, 3), np.uint8)
DASH = """<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
 mediaPresentationDuration="PT5S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">
<BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>"""


def read(path: Path, bounds: Bounds = BOUNDS) -> tuple[list[float], Damage]:
    """The times of the frames, and what could not be read."""
    film, damage = survey(NamedPhoto(path), bounds), Damage()
    with open_video(NamedPhoto(path)) as container:
        stream = pictures_of(container)
        damage.ends_early = is_cut(NamedPhoto(path), container, stream)
        return [float(one.pts * one.time_base) for one in read_frames(film, container, stream, damage)], damage


def refusal(path: Path, bounds: Bounds = BOUNDS) -> str:
    with pytest.raises(VideoError) as refused:
        read(path, bounds)
    return refused.value.code


@pytest.mark.parametrize("content", [
    b"ffconcat version 1.0\nfile secret.mp4\n", DASH.encode(), b"#EXTM3U\n#EXTINF:5,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    b"v=0\r\nm=video 5004 RTP/AVP 96\r\n", b"concat:secret.mp4", b"", b"G" + bytes(187),
], ids=["ffconcat", "dash", "hls", "sdp", "protocol", "empty", "transport stream"])  # fmt: skip
@pytest.mark.parametrize("name", ["holiday.mp4", "holiday.mkv", "holiday.avi"])
def test_a_playlist_is_refused_for_any_file_name(tmp_path: Path, name: str, content: bytes) -> None:
    write_film(tmp_path / "secret.mp4", [scene()])
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path) == "video_unsupported"


@pytest.mark.parametrize("name", ["http:x.mp4", "data:x.mp4", "concat:a|b.mp4", "-i.mp4", "%d.mp4"])
def test_a_file_named_like_an_address_is_read_as_a_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(Path("film.mp4"), [scene()] * 3).rename(name)
    assert len(read(Path(name))[0]) == 3


def test_a_video_whose_frames_are_in_another_file_does_not_open_it(tmp_path: Path) -> None:
    content = write_film(tmp_path / "secret.mp4", [scene()] * 3, Coding(file={"movflags": "faststart"})).read_bytes()
    path = tmp_path / "film.mov"
    path.write_bytes(referring(content, b"secret.mp4"))
    with av.open(str(path), options={"enable_drefs": "1"}) as container:
        assert len(list(container.decode(video=0))) == 3, "a reader that follows the reference finds them"
    assert refusal(path) == "video_error"


def referring(film: bytes, name: bytes) -> bytes:
    """A MOV without pictures, whose data reference is an alias record of the file `name` beside it."""
    named = b"vol:" + name
    alias = b"".join([
        bytes(10), b"\x03", b"vol".ljust(27, b"\0"), bytes(12), bytes([len(name)]), name.ljust(63, b"\0"), bytes(16),
        struct.pack(">hh", 1, 1), bytes(16), struct.pack(">hh", 2, len(named)), named, struct.pack(">hh", -1, 0),
    ])  # fmt: skip
    entry = struct.pack(">I", len(alias) + 12) + b"alis" + bytes(4) + alias
    own = b"\x00\x00\x00\x0curl \x00\x00\x00\x01"
    grown = bytearray(film[: film.index(b"mdat") - 4].replace(own, entry))
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = grown.index(box) - 4
        size = int.from_bytes(grown[place : place + 4], "big") + len(entry) - len(own)
        grown[place : place + 4] = size.to_bytes(4, "big")
    return bytes(grown)


def test_a_path_that_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    assert refusal(tmp_path / "pipe.mp4") == refusal(tmp_path / "folder.mp4") == "video_unsupported"


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_a_gap_of_ten_hours_counts_as_seconds_and_adds_no_frames(tmp_path: Path, name: str) -> None:
    film = write_film(tmp_path / name, [scene()] * 3, Coding(base=Fraction(1, 1000)), [0, 40, 36_000_000])
    assert refusal(film) == "video_too_long"
    assert read(film, Bounds(frames=3, seconds=36_001))[0] == pytest.approx([0, 0.04, 36_000])
    assert refusal(film, Bounds(frames=2, seconds=36_001)) == "video_too_long"


def test_a_cover_picture_is_not_taken_for_the_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(scene(), format="rgb24").reformat(format="yuvj420p")))
        container.mux(cover.encode(None))
    assert refusal(path) == "video_unsupported"


def test_the_first_frame_has_time_0_for_any_start_time(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [scene()] * 3, Coding(base=Fraction(1, 1000)), [10_000, 10_040, 10_500])
    assert read(film)[0] == pytest.approx([0, 0.04, 0.5])


CUT = [("film.mp4", {"movflags": "+faststart"}), ("film.mkv", {}), ("film.avi", {})]


@pytest.mark.parametrize(("name", "options"), CUT, ids=[name for name, _ in CUT])
def test_a_truncated_video_is_read_with_a_warning(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    film = write_film(tmp_path / name, NOISE, Coding("mpeg4", file=options, tagged=False))
    assert not str(read(film)[1])
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    times, damage = read(film)
    assert 3 <= len(times) <= 15
    assert "its end is missing" in str(damage)


def test_a_damaged_part_loses_only_its_own_frames(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mov", NOISE, Coding("png", "rgb24", tagged=False))
    content = bytearray(film.read_bytes())
    place = content.index(b"\x89PNG", len(content) // 2)
    content[place : place + 40] = bytes(40)
    film.write_bytes(content)
    times, damage = read(film)
    assert len(times) == len(NOISE) - 1
    assert str(damage) == "it is damaged in 1 place; the copy holds what could be read"


def test_damaged_videos_are_decoded_alike_in_every_pass(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mov", NOISE, Coding(options={"bf": "2"}))
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(1).integers(3000, len(content) - 5000, 30):
        content[place] ^= 0xFF
    path.write_bytes(content)

    def shown() -> list[bytes]:
        with open_video(NamedPhoto(path)) as container:
            frames = read_frames(survey(NamedPhoto(path), BOUNDS), container, pictures_of(container), Damage())
            return [one.to_ndarray().tobytes() for one in frames]

    first = shown()
    assert all(shown() == first for _ in range(3))


MUTATED = ["film.mp4", "film.webm", "film.avi"]


@pytest.mark.parametrize("name", MUTATED)
def test_a_mutated_video_is_read_or_refused(tmp_path: Path, name: str) -> None:
    coding = Coding("libvpx" if name.endswith("webm") else "mpeg4", tagged=False)
    content = write_film(tmp_path / name, [scene()] * 5, coding).read_bytes()
    path, chance = tmp_path / f"mutated-{name}", np.random.default_rng(5)
    for _ in range(60):
        mutated = bytearray(content)
        for place in chance.integers(0, len(content), 6):
            mutated[place] = chance.integers(0, 256)
        path.write_bytes(mutated)
        try:
            times, _ = read(path)
        except VideoError as error:
            assert error.code.startswith("video_")  # noqa: PT017 one of two good ends
        else:
            assert all(one < later for one, later in pairwise(times))
