from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from gateway.cli import videos
from gateway.cli.photos import PhotoFile
from gateway.cli.sender import Sender
from gateway.cli.videos import VideoSender


async def test_a_video_that_grows_meanwhile_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    longer = count(1)

    async def frames(_video: Path) -> AsyncIterator[bytes]:
        for _ in range(next(longer)):
            yield b"frame"

    async def rate(_video: Path) -> str:
        return "25/1"

    async def nothing_found(*_asked: object) -> bytes:
        return b'{"detections": []}'

    async def written(copies: AsyncIterator[bytes], *_rest: object) -> None:
        assert [copy async for copy in copies] == []

    for name, stand_in in (("read_frames", frames), ("frame_rate", rate), ("_post", nothing_found)):
        monkeypatch.setattr(videos, name, stand_in)
    monkeypatch.setattr(videos, "write_video", written)
    film = PhotoFile(Path("film.mp4"), tmp_path)
    outcome = await VideoSender(Sender("http://127.0.0.1:1", "privacy_blur", {}), 4).send(film, lambda *_: None)
    assert outcome.code == "video_error"
    assert "more frames" in outcome.detail
