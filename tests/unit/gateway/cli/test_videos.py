"""Films through both passes, before a stand-in of the gateway."""

import base64
import json
import os
import signal
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
import pytest

from gateway.cli import videos
from gateway.cli.photo_paths import NamedPhoto, PhotoFile
from gateway.cli.safe_files import Results
from gateway.cli.sender import Outcome, Sender, VideoOptions
from tests.films import GREY, Coding, StandIn, Watched, clap, scene, unhidden, watch, write_clap, write_film

MOVING = [scene((10 + 3 * step, 20)) for step in range(8)]
UNEVEN = [0, 97, 195, 217, 314, 336, 900, 1000]
MILLISECONDS = Fraction(1, 1000)
OPTIONS = VideoOptions(1000, 100, sound=True)

Send = Callable[..., Outcome]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(videos, "open_client", stand_in.client)
    return stand_in


@pytest.fixture
def send(gateway: StandIn, tmp_path: Path) -> Send:
    assert gateway

    def sent(film: Path, options: VideoOptions = OPTIONS, **parameters: str) -> Outcome:
        sender = videos.VideoSender(Sender("http://stand-in", "privacy_blur", parameters), 3, options)
        return sender.send(PhotoFile(NamedPhoto(film), Results(tmp_path), Path("out")), lambda *_: None)

    return sent


@pytest.fixture
def copied(send: Send, tmp_path: Path) -> Callable[..., Watched]:
    def copy(*made: object, **more: object) -> Watched:
        outcome = send(write_film(tmp_path / made[0], *made[1:], **more))
        assert (outcome.code, outcome.detail) == (None, "")
        return watch(outcome.files[0])

    return copy


KINDS = [
    ("film.mp4", Coding(options={"bf": "3"})),
    ("film.webm", Coding("libvpx", base=MILLISECONDS, colours=(5, 6, 6))),
    ("film.mkv", Coding(base=MILLISECONDS)),
    ("film.mov", Coding("prores_ks", "yuv422p10le")),
    ("film.mov", Coding("prores_ks", "yuva444p10le")),
    ("film.mov", Coding("png", "rgb24", tagged=False)),
    ("film.avi", Coding("mjpeg", "yuvj420p", full=True, colours=(5, 2, 2))),
    ("film.avi", Coding("mpeg4", tagged=False, options={"bf": "2"})),
    ("film.avi", Coding("libx264", tagged=False, options={"bf": "2"})),
    ("film.avi", Coding("rawvideo", "bgr24", tagged=False)),
    ("film.mkv", Coding("ffv1", "bgr0")),
    ("film.mkv", Coding("ffv1", "yuv410p")),
    ("film.mkv", Coding("ffv1", "gbrp10le")),
]


@pytest.mark.parametrize(("name", "coding"), KINDS, ids=[f"{kind.codec}-{kind.pixels}" for _, kind in KINDS])
def test_every_container_and_codec_is_redacted_with_the_same_times_and_colours(
    copied: Callable[..., Watched], name: str, coding: Coding
) -> None:
    times = UNEVEN if coding.base == MILLISECONDS else list(range(8))
    copy = copied(name, MOVING, coding, times)
    assert copy.times == pytest.approx([float(time * coding.base) for time in times], abs=1e-4)
    assert copy.seconds == pytest.approx(1.097 if times is UNEVEN else 0.32, abs=0.001)
    assert unhidden(copy) == 0
    for picture in copy.pictures:
        assert np.abs(picture[:10, :8].astype(int) - GREY).max() <= 3


def test_a_wrong_frame_rate_in_the_header_adds_no_frames(copied: Callable[..., Watched]) -> None:
    copy = copied("film.webm", MOVING, Coding("libvpx-vp9", base=MILLISECONDS), UNEVEN, "libopus")
    assert len(copy.times) == len(UNEVEN)
    assert copy.tracks == ["video:h264", "audio:opus"]
    assert copy.rate < 10


@pytest.mark.parametrize(("name", "codec", "kept"), [
    ("film.mp4", "aac", "aac"), ("film.mp4", "libmp3lame", "mp3float"), ("film.mkv", "libopus", "opus"),
    ("film.mkv", "flac", "flac"), ("film.mov", "alac", "alac"), ("film.mov", "pcm_s16le", "aac"),
    ("film.avi", "pcm_s16le", "aac"), ("film.mkv", "mp2", "aac"),
])  # fmt: skip
def test_sound_is_copied_if_mp4_takes_its_codec_and_else_encoded_as_aac(
    copied: Callable[..., Watched], name: str, codec: str, kept: str
) -> None:
    coding = Coding("mpeg4", tagged=False) if name.endswith("avi") else Coding()
    assert copied(name, MOVING, coding, None, codec).tracks == ["video:h264", f"audio:{kept}"]


@pytest.mark.parametrize(("name", "pictures_from", "sound_from", "video", "sound", "base"), [
    ("film.mp4", 0, 0, "libx264", "aac", MILLISECONDS), ("film.mp4", 0.5, 0, "libx264", "aac", MILLISECONDS),
    ("film.mp4", 0, 0.4, "libx264", "aac", MILLISECONDS), ("film.mkv", 10.5, 10, "libx264", "aac", MILLISECONDS),
    ("film.mkv", 10, 10.3, "libx264", "pcm_s16le", MILLISECONDS),
    ("film.webm", 0, 0, "libvpx", "libopus", MILLISECONDS),
    ("film.mov", 3, 3.2, "libx264", "pcm_s16le", MILLISECONDS),
    ("film.avi", 0, 0, "mpeg4", "pcm_s16le", Fraction(1, 25)),
])  # fmt: skip
def test_sound_stays_in_step_with_the_frames(
    send: Send,
    tmp_path: Path,
    name: str,
    pictures_from: float,
    sound_from: float,
    video: str,
    sound: str,
    base: Fraction,
) -> None:
    outcome = send(write_clap(tmp_path / name, pictures_from, sound_from, video, sound, base))
    seen, heard = clap(outcome.files[0])
    assert seen == pytest.approx(1 + pictures_from - min(pictures_from, sound_from), abs=0.002)
    assert heard == pytest.approx(seen, abs=0.003)


def test_sound_with_repeated_packet_times_is_copied(send: Send, tmp_path: Path) -> None:
    """As of recorders whose clock is coarse: every other packet has the time of the one before."""
    film, stumbling = write_film(tmp_path / "film.mkv", MOVING * 4, tone="aac"), tmp_path / "stumbling.mkv"
    with av.open(str(film)) as source, av.open(str(stumbling), "w") as container:
        streams = {one.index: container.add_stream_from_template(one, opaque=True) for one in source.streams}
        last = 0
        for packet in source.demux():
            if packet.size:
                if packet.stream.type == "audio":
                    last = packet.pts = packet.dts = last if packet.pts // 21 % 2 else packet.pts
                packet.stream = streams[packet.stream_index]
                container.mux_one(packet)
    outcome = send(stumbling)
    assert (outcome.code, outcome.detail) == (None, "")
    with av.open(str(film)) as source, av.open(str(outcome.files[0])) as copy:
        heard = [sum(packet.size for packet in one.demux(audio=0)) for one in (source, copy)]
    assert heard[0] == heard[1]


def test_sound_is_dropped_on_request(send: Send, tmp_path: Path) -> None:
    outcome = send(write_film(tmp_path / "film.mp4", MOVING, tone="aac"), VideoOptions(1000, 100, sound=False))
    assert watch(outcome.files[0]).tracks == ["video:h264"]


def test_the_detector_sees_square_pixels_and_the_copy_keeps_its_own(
    gateway: StandIn, copied: Callable[..., Watched]
) -> None:
    copy = copied("film.mp4", MOVING, Coding(aspect=Fraction(4, 3)))
    assert copy.aspect == Fraction(4, 3)
    assert copy.pictures[0].shape == (64, 96, 3)
    assert {shape for name, _, shape in gateway.asked if name == "detect"} == {(64, 128, 3)}
    assert unhidden(copy) == 0


def test_a_face_missed_in_some_frames_stays_hidden_for_the_hold_time(copied: Callable[..., Watched]) -> None:
    """Green in the face's place, in frames 0.7 s apart from one that shows it, and 0.3 s."""
    covered = scene(None)
    covered[20:36, 40:56] = (0, 200, 0)
    copy = copied("film.mkv", [covered, covered, scene()], Coding(base=MILLISECONDS), [0, 400, 700])
    assert [picture[28, 48].max() > 100 for picture in copy.pictures] == [True, False, False]


def test_a_frame_with_nothing_to_hide_is_sent_once(gateway: StandIn, copied: Callable[..., Watched]) -> None:
    copied("film.mkv", [scene(None), scene()], Coding(base=MILLISECONDS), [0, 900])
    assert [name for name, _, _ in gateway.asked] == ["detect", "detect", "privacy_blur"]


def test_each_pass_over_a_video_sends_its_own_parameters(gateway: StandIn, send: Send, tmp_path: Path) -> None:
    finding = {"thresholds": "face=0.5", "smallest_face": "12", "smallest_object": "30", "rotations": "all"}
    painting = {"style": "solid", "color": "#000000", "keep": "1,2,3,4"}
    of_photos = {"format": "jpeg", "quality": "50", "metadata": "exif", "include": "blur"}
    send(write_film(tmp_path / "film.mp4", [scene()]), hide="faces", **finding, **painting, **of_photos)
    assert gateway.fields("detect") == {"classes": "faces", **finding}
    painted = gateway.fields("privacy_blur")
    assert painted.pop("objects")
    assert painted == {**painting, "hide": "none", "format": "png", "metadata": "none"}


@pytest.mark.parametrize("asked", [1, 9])
def test_a_refused_frame_fails_the_video_and_leaves_no_files(
    gateway: StandIn, send: Send, tmp_path: Path, asked: int
) -> None:
    gateway.refuse_from = asked
    outcome = send(write_film(tmp_path / "film.mp4", MOVING, tone="aac"))
    assert (outcome.code, outcome.detail) == ("no", "refused")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("gateway")
def test_an_interrupted_video_leaves_no_files_and_keeps_an_older_copy(stop: signal.Signals, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", MOVING * 4, tone="aac")
    older = tmp_path / "out" / "blurred.mp4"
    older.parent.mkdir()
    older.write_bytes(b"older")
    sender = videos.VideoSender(Sender("", "privacy_blur", {}), 3, OPTIONS)

    def told(stage: str, done: int, _total: int) -> None:
        if stage == "hiding" and done == 3:
            assert len(list(older.parent.iterdir())) == 2, "a part is being written"
            for _ in range(3):
                os.kill(os.getpid(), stop)

    with pytest.raises(KeyboardInterrupt):
        sender.send(PhotoFile(NamedPhoto(film), Results(older.parent.parent), Path(older.parent.name)), told)
    assert [path.read_bytes() for path in older.parent.iterdir()] == [b"older"]


@pytest.mark.usefixtures("gateway")
def test_progress_gives_frames_done_and_all_frames_in_both_passes(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", MOVING)
    heard: list[tuple[str, int, int]] = []
    sender = videos.VideoSender(Sender("", "privacy_blur", {}), 3, OPTIONS)
    sender.send(PhotoFile(NamedPhoto(film), Results(tmp_path), Path("out")), lambda *told: heard.append(told))
    assert heard == [(stage, done, 8) for stage in ("finding", "hiding") for done in range(1, 9)]


@pytest.mark.usefixtures("gateway")
def test_a_video_that_grows_between_the_passes_is_refused(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", MOVING[:2])
    sender = videos.VideoSender(Sender("", "privacy_blur", {}), 3, OPTIONS)

    def told(stage: str, done: int, _total: int) -> None:
        if (stage, done) == ("finding", 2):
            write_film(film, MOVING)

    outcome = sender.send(PhotoFile(NamedPhoto(film), Results(tmp_path), Path("out")), told)
    assert outcome.code == "video_error"
    assert "still being written" in outcome.detail
    assert not (tmp_path / "out").exists()


def _picture(width: int, height: int) -> str:
    return base64.b64encode(cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()).decode()


def _copies(*pictures: object) -> dict[str, object]:
    return {"detections": [], "artifacts": {str(name): {"base64": one} for name, one in enumerate(pictures)}}


def _huge() -> str:
    """A picture of a few bytes that says it has 900 million pixels."""
    png = bytearray(base64.b64decode(_picture(96, 64)))
    png[16:24] = struct.pack(">II", 30_000, 30_000)
    png[29:33] = struct.pack(">I", zlib.crc32(bytes(png[12:29])))
    return base64.b64encode(bytes(png)).decode()


FOUND = '{"detections": [{"label": "face", "box": [10, 10, 30, 30]}]}'
ANSWERS = {
    "no box": ('{"detections": [{"label": "face", "box": [1, NaN, 3, Infinity]}]}', ""),
    "too many": ('{"detections": [' + ",".join(['{"label": "a", "box": [0, 0, 1, 1]}'] * 10_001) + "]}", ""),
    "no list": ('{"detections": null}', ""),
    "no json": ("<html>", ""),
    "no copy": (FOUND, json.dumps(_copies())),
    "two copies": (FOUND, json.dumps(_copies(_picture(96, 64), _picture(96, 64)))),
    "no picture": (FOUND, json.dumps(_copies("eA=="))),
    "no base64": (FOUND, json.dumps(_copies("\u0430"))),
    "a picture of another size": (FOUND, json.dumps(_copies(_picture(64, 96)))),
    "a picture that says it is huge": (FOUND, json.dumps(_copies(_huge()))),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_bad_answer_for_a_frame_leaves_no_files(
    name: str, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=ANSWERS[name][not request.url.path.endswith("detect")])

    def client(_url: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url="http://stand-in", transport=httpx.MockTransport(answer))

    monkeypatch.setattr(videos, "open_client", client)
    outcome = send(write_film(tmp_path / "film.mp4", [scene()] * 2))
    assert outcome.code == "unexpected_answer", outcome
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
