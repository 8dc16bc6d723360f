"""Which kinds of films are decoded, each tried; and that no other file or server is asked, whatever a film says."""

import ctypes
import os
import re
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gateway.cli import videos
from gateway.cli.photo_paths import NamedPhoto, PhotoFile
from gateway.cli.safe_files import Results
from gateway.cli.sender import Sender, VideoOptions
from gateway.cli.video_reader import (
    PICTURES,
    SOUNDS,
    Bounds,
    Damage,
    VideoError,
    open_video,
    pictures_of,
    read_frames,
    survey,
)
from tests.films import Coding, StandIn, scene, write_film
from tests.unit.gateway.cli.test_film import DASH, referring

BOUNDS = Bounds(1000, 1000)
_CIF, _PAL, _HD = (352, 288), (720, 576), (1280, 720)
FILMS: dict[str, tuple[str, str, str, tuple[int, int]]] = {
    "h264": ("libx264", "mp4", "yuv420p", (96, 64)),
    "hevc": ("libx265", "mov", "yuv420p", (96, 64)),
    "libdav1d": ("libsvtav1", "mkv", "yuv420p", (128, 96)),
    "vp8": ("libvpx", "webm", "yuv420p", (96, 64)),
    "vp9": ("libvpx-vp9", "webm", "yuv420p", (96, 64)),
    "mpeg4": ("mpeg4", "avi", "yuv420p", (96, 64)),
    "mpeg2video": ("mpeg2video", "mkv", "yuv420p", (96, 64)),
    "mpeg1video": ("mpeg1video", "mkv", "yuv420p", (96, 64)),
    "h263": ("h263", "mov", "yuv420p", _CIF),
    "flv": ("flv", "avi", "yuv420p", _CIF),
    "mjpeg": ("mjpeg", "avi", "yuvj420p", (96, 64)),
    "prores": ("prores_ks", "mov", "yuv422p10le", (96, 64)),
    "dnxhd": ("dnxhd", "mov", "yuv422p", _HD),
    "cfhd": ("cfhd", "mov", "yuv422p10le", (96, 64)),
    "png": ("png", "mov", "rgb24", (96, 64)),
    "qtrle": ("qtrle", "mov", "rgb24", (96, 64)),
    "rawvideo": ("rawvideo", "avi", "yuv420p", (96, 64)),
    "v210": ("v210", "mov", "yuv422p10le", (96, 64)),
    "ffv1": ("ffv1", "mkv", "yuv420p", (96, 64)),
    "ffvhuff": ("ffvhuff", "avi", "yuv420p", (96, 64)),
    "huffyuv": ("huffyuv", "avi", "yuv422p", (96, 64)),
    "utvideo": ("utvideo", "avi", "yuv420p", (96, 64)),
    "msmpeg4": ("msmpeg4", "avi", "yuv420p", (96, 64)),
    "msmpeg4v2": ("msmpeg4v2", "avi", "yuv420p", (96, 64)),
    "wmv1": ("wmv1", "avi", "yuv420p", (96, 64)),
    "wmv2": ("wmv2", "avi", "yuv420p", (96, 64)),
    "cinepak": ("cinepak", "mov", "rgb24", (96, 64)),
    "svq1": ("svq1", "mov", "yuv410p", (96, 64)),
    "dvvideo": ("dvvideo", "mov", "yuv420p", _PAL),
}
TONES: dict[str, tuple[str, str, int, str]] = {
    **{
        name: (name, "mov", 48000, "stereo")
        for name in sorted(SOUNDS)
        if name.startswith(("pcm", "adpcm_ima_qt", "alac"))
    },
    "aac": ("aac", "mp4", 48000, "stereo"),
    "mp3float": ("libmp3lame", "mp4", 48000, "stereo"),
    "mp2": ("mp2", "mkv", 48000, "stereo"),
    "ac3": ("ac3", "mp4", 48000, "stereo"),
    "eac3": ("eac3", "mp4", 48000, "stereo"),
    "opus": ("libopus", "mkv", 48000, "stereo"),
    "vorbis": ("vorbis", "mkv", 48000, "stereo"),
    "flac": ("flac", "mkv", 48000, "stereo"),
    "amrnb": ("libopencore_amrnb", "mov", 8000, "mono"),
    "wmav1": ("wmav1", "avi", 44100, "stereo"),
    "wmav2": ("wmav2", "avi", 44100, "stereo"),
    "adpcm_ima_wav": ("adpcm_ima_wav", "avi", 44100, "stereo"),
    "adpcm_ms": ("adpcm_ms", "avi", 44100, "stereo"),
}
OTHERS = ["magicyuv.mov", "msvideo1.avi", "r210.mov", "rpza.mov", "sgi.mov", "snow.mkv", "speedhq.avi", "targa.mov"]
OTHERS += ["tiff.mov", "yuv4.mov", "zlib.avi", "flashsv.avi", "jpeg2000.mov", "cljr.avi", "asv1.avi"]


def film_of(path: Path, encoder: str, pixels: str, size: tuple[int, int]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25)
        if encoder == "dnxhd":
            stream.bit_rate = 60_000_000
        (stream.width, stream.height), stream.pix_fmt = size, pixels
        for number in range(3):
            picture = np.full((size[1], size[0], 3), 60 + 30 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@contextmanager
def usual_scheduling() -> Iterator[None]:
    """Started as root, SVT-AV1 makes the calling thread a real-time one of the highest priority, and leaves it so.

    All that the tests start later would inherit it, and hold the processors against everything else.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def tone_of(path: Path, encoder: str, rate: int, layout: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        sound = container.add_stream(encoder, rate=rate, layout=layout, options={"strict": "-2"})
        if encoder.startswith("wma"):
            sound.bit_rate = 128_000
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux([*stream.encode(frame), *stream.encode(None)])
        size = sound.codec_context.frame_size or 1024
        resampler = av.AudioResampler(sound.codec_context.format, layout, rate, size)
        wave = np.zeros((1, size * 8), np.float32)
        heard = av.AudioFrame.from_ndarray(wave, format="flt", layout="mono")
        heard.sample_rate, heard.pts, heard.time_base = rate, 0, Fraction(1, rate)
        for piece in (*resampler.resample(heard), *resampler.resample(None)):
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
    return path


def frames(path: Path) -> int:
    named = NamedPhoto(path)
    film = survey(named, BOUNDS)
    with open_video(named) as container:
        return len(list(read_frames(film, container, pictures_of(container), Damage())))


def test_every_accepted_codec_has_a_test_video() -> None:
    assert set(FILMS) == PICTURES
    assert set(TONES) == SOUNDS


@pytest.mark.parametrize("kind", FILMS)
def test_frames_of_every_accepted_codec_are_decoded(tmp_path: Path, kind: str) -> None:
    encoder, suffix, pixels, size = FILMS[kind]
    with usual_scheduling():
        path = film_of(tmp_path / f"film.{suffix}", encoder, pixels, size)
    with open_video(NamedPhoto(path)) as container:
        assert pictures_of(container).codec_context.name == kind
    assert frames(path) == 3


@pytest.mark.parametrize("kind", TONES)
def test_sound_of_every_accepted_codec_is_decoded(tmp_path: Path, kind: str) -> None:
    encoder, suffix, rate, layout = TONES[kind]
    path = tone_of(tmp_path / f"film.{suffix}", encoder, rate, layout)
    with open_video(NamedPhoto(path)) as container:
        (stream,) = container.streams.audio
        assert stream.codec_context.name == kind
        assert sum(frame.samples for frame in container.decode(stream)) > 0


@pytest.mark.parametrize("name", OTHERS)
def test_frames_of_another_codec_are_refused_with_the_codecs_name(tmp_path: Path, name: str) -> None:
    encoder = name.partition(".")[0]
    pixels = [one.name for one in av.Codec(encoder, "w").video_formats or []]
    path = film_of(tmp_path / name, encoder, "yuv420p" if "yuv420p" in pixels else pixels[0], (96, 64))
    with pytest.raises(VideoError, match=rf"coded as {encoder}, which is not decoded") as refused:
        frames(path)
    assert refused.value.code == "video_unsupported"


@pytest.mark.parametrize("sound", ["tta", "wavpack"])
def test_sound_of_another_codec_is_refused_with_the_codecs_name_and_can_be_dropped(
    tmp_path: Path, sound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "open_client", StandIn().client)
    film = tone_of(tmp_path / "film.mkv", sound, 16000, "mono")
    with open_video(NamedPhoto(film)) as container:
        name = container.streams.audio[0].codec_context.name
    for kept in (True, False):
        sender = videos.VideoSender(Sender("http://stand-in", "privacy_blur", {}), 1, VideoOptions(9, 99, sound=kept))
        outcome = sender.send(PhotoFile(NamedPhoto(film), Results(tmp_path / "out"), Path("film")), lambda *_: None)
        assert outcome.code == ("video_unsupported" if kept else None), outcome
        assert not kept or re.search(rf"--audio drop.* coded as {name}", outcome.detail)


@contextmanager
def watched(path: Path) -> Iterator[list[str]]:
    """A list that is empty at the end, unless somebody opened the file: inotify(7) tells of it."""
    libc, opened = ctypes.CDLL(None, use_errno=True), list[str]()
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    in_access_or_open = 0x1 | 0x20
    assert libc.inotify_add_watch(descriptor, bytes(path), in_access_or_open) > 0
    try:
        yield opened
        with pytest.raises(BlockingIOError):
            opened.append(os.read(descriptor, 4096).hex())
    finally:
        os.close(descriptor)


def lists(file: str, url: str) -> dict[str, bytes]:
    """Files that name a film elsewhere, in every way that FFmpeg follows one."""
    return {
        "a playlist (HLS)": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{file}\n#EXTINF:5,\n{url}\n".encode(),
        "a list of films (ffconcat)": f"ffconcat version 1.0\nfile '{file}'\nfile '{url}'\n".encode(),
        "a manifest (DASH or the like)": DASH.replace("secret.mp4", url).encode(),
        "a description of a session (SDP)": b"v=0\r\nc=IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n",
        "an address": f"concat:{file}|{url}".encode(),
        "a transport stream (MPEG-TS)": (b"G" + bytes(187)) * 3,
        "Ogg": b"OggS" + bytes(60),
        "FLV": b"FLV\x01\x05" + bytes(60),
        "ASF or WMV": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(60),
        "a photo": b"\xff\xd8\xff\xe0" + bytes(60),
        "WAV": b"RIFF\x24\0\0\0WAVEfmt ",
        "RealMedia": b".RMF" + bytes(60),
        "a program stream (MPEG-PS)": b"\0\0\x01\xba" + bytes(60),
        "no film": b"\0" * 64,
    }


ADDRESSES = [
    "file:{0}",
    "subfile,,start,0,end,0,,:{0}",
    "data:video/mp4;base64,AAAA",
    "crypto:{0}",
    "http://x/",
    "md5:x",
]
ADDRESSES += ["async:{0}", "cache:{0}", "pipe:0", "tee:{0}", "concatf:{0}", "hls+file:{0}", "rtsp://x/", "unix:/x"]


def test_a_list_of_videos_opens_no_other_file_and_asks_no_server(tmp_path: Path) -> None:
    secret = write_film(tmp_path / "secret.mp4", [scene()])
    with socket.create_server(("127.0.0.1", 0)) as server, watched(secret):
        url = f"http://127.0.0.1:{server.getsockname()[1]}/secret.mp4"
        made = lists("secret.mp4", url)
        made |= {f"an address {form}": form.format(secret).encode() for form in ADDRESSES}
        for kind, content in made.items():
            for name in ("film.mp4", "film%03d.mov", "film.m3u8"):
                path = tmp_path / name
                path.write_bytes(content)
                with pytest.raises(VideoError) as refused:
                    frames(path)
                assert refused.value.code == "video_unsupported"
                assert f"this is {'an address' if kind.startswith('an address') else kind}, " in str(refused.value)
        assert not select.select([server], [], [], 0)[0]


def test_a_video_that_refers_to_another_file_does_not_open_it(tmp_path: Path) -> None:
    content = write_film(tmp_path / "secret.mp4", [scene()] * 3, Coding(file={"movflags": "faststart"})).read_bytes()
    film = tmp_path / "film.mov"
    for name in (b"secret.mp4", bytes(tmp_path / "secret.mp4")[:60]):
        film.write_bytes(referring(content, name))
        with watched(tmp_path / "secret.mp4"), pytest.raises(VideoError):
            frames(film)


def test_files_referenced_in_a_matroska_are_not_opened(tmp_path: Path) -> None:
    secret = write_film(tmp_path / "secret.mp4", [scene()])
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        container.metadata.update({"url": str(secret), "filename": str(secret), "title": "\x1b[31m"})
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(), "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    with watched(secret):
        assert frames(tmp_path / "film.mkv") == 1
