"""Frames of video files, read and written by ffmpeg: the machine's, or that of the package imageio-ffmpeg."""

import asyncio
import contextlib
import importlib
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")
_LARGEST_FRAME = 2**28
"""Bytes of a JPEG."""
_END_OF_IMAGE = b"\xff\xd9"
"""Occurs in no other place of what ffmpeg's own encoder writes: its tables hold no such bytes."""
_JPEG = ("-an", "-sn", "-fps_mode", "cfr", "-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p")
_EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"
"""H.264 with colour at half the resolution has no odd sides."""
_H264 = ("-vf", _EVEN, "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart")
_NO_METADATA = ("-map_metadata", "-1", "-map_chapters", "-1")


class FfmpegError(Exception):
    """ffmpeg is not here, or says what it cannot do."""


def find_ffmpeg() -> str:
    """The program. Raises FfmpegError."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise FfmpegError("there is no ffmpeg here; install it, or the package imageio-ffmpeg") from error


async def frame_rate(video: Path) -> str:
    """Frames a second as a fraction, such as `30000/1001`. Raises FfmpegError."""
    arguments = ("-i", str(video), "-frames:v", "1", "-fps_mode", "cfr", "-f", "yuv4mpegpipe", "-strict", "-1", "-")
    async with _running(*arguments, reads=False) as process:
        output, said = await process.communicate()
    rate = re.match(rb"YUV4MPEG2 [^\n]*F(\d+):(\d+)", output)
    if rate is None:
        raise FfmpegError(_last_line(said) or "there are no pictures in it")
    return f"{int(rate[1])}/{int(rate[2])}"


async def read_frames(video: Path) -> AsyncIterator[bytes]:
    """Every frame as a JPEG, upright. Raises FfmpegError where the file cannot be read to its end."""
    async with _running("-i", str(video), *_JPEG, "-", reads=False) as process:
        if process.stdout is None or process.stderr is None:
            raise FfmpegError("no pipe")
        saying = asyncio.create_task(process.stderr.read())
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                yield await process.stdout.readuntil(_END_OF_IMAGE)
        said = await saying
        if await process.wait() or said:
            raise FfmpegError(_last_line(said) or "ffmpeg failed")


async def write_video(frames: AsyncIterator[bytes], rate: str, sound: Path, target: Path) -> None:
    """Encode JPEG frames and the sound of another file as H.264 and AAC in MP4, without metadata.

    Nothing is left in `target` unless all went well. Raises FfmpegError, and what `frames` raise.
    """
    part = target.with_name(f".{target.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    frames_in = ("-f", "image2pipe", "-framerate", rate, "-c:v", "mjpeg", "-i", "-")
    tracks = ("-i", str(sound), "-map", "0:v", "-map", "1:a?", *_NO_METADATA, *_H264, "-f", "mp4", "-y", str(part))
    try:
        async with _running(*frames_in, *tracks, reads=True) as process:
            await _feed(process, frames)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


async def _feed(process: Process, frames: AsyncIterator[bytes]) -> None:
    if process.stdin is None or process.stderr is None:
        raise FfmpegError("no pipe")
    saying = asyncio.create_task(process.stderr.read())
    try:
        async for frame in frames:
            process.stdin.write(frame)
            await process.stdin.drain()
        process.stdin.close()
    except ConnectionError as error:
        raise FfmpegError(_last_line(await saying) or "ffmpeg ended early") from error
    said = await saying
    if await process.wait():
        raise FfmpegError(_last_line(said) or "ffmpeg failed")


@asynccontextmanager
async def _running(*arguments: str, reads: bool) -> AsyncIterator[Process]:
    """The program with these arguments, ended at the latest with the context."""
    quiet = [option for option in _QUIET if not (reads and option == "-nostdin")]
    process = await asyncio.create_subprocess_exec(
        find_ffmpeg(), *quiet, *arguments, stdin=PIPE if reads else DEVNULL, stdout=PIPE, stderr=PIPE,
        limit=_LARGEST_FRAME,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
