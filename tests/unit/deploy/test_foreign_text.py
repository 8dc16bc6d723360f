"""What the stack's commands show of files, and the demo of answers, that others may have written."""

import asyncio
import json
import os
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from deploy.demo.page import write_page
from deploy.demo.panels import Panel, make_panel
from deploy.embedded import launcher
from deploy.embedded.commands import service_table
from deploy.embedded.folders import ServiceState, StackState
from gateway.cli import app
from gateway.cli.client import RefusedError, open_client
from gateway.cli.safe_files import Results
from gateway.cli.terminal import Screen
from tests.hostile_server import hostile, http

ORDERS = "\x1b]52;c;cm0=\x07\x9b2J\u202e[link=https://evil.example]x[/link]"


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKWRIGHT_HOME", str(tmp_path))
    (tmp_path / "logs").mkdir()
    return tmp_path


def test_log_with_terminal_codes_prints_its_words_alone(home: Path) -> None:
    lines = f"plain\ttab\n\x1b[32mgreen\x1b[0m {ORDERS}\n" + "x" * 200_000 + "\n"
    (home / "logs" / "gateway.log").write_text(lines)
    (home / "logs" / f"a{ORDERS[:5]}.log").write_bytes(b"\xff\x00\n")
    told = invoke("logs").stdout
    assert "plain   tab" in told
    assert " green \\x1b]52;c;cm0=" in told
    assert "[link=https://evil.example]x[/link]" in told
    assert "".join(told.split("\n")).isprintable()
    assert len(told) < 20_000
    refused = invoke("logs", f"{ORDERS}")
    assert refused.exit_code == 2
    assert "".join(refused.stderr.split("\n")).isprintable()


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_log_that_is_no_regular_file_is_refused_at_once(home: Path, kind: str) -> None:
    path = home / "logs" / "triton.log"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        (home / "secret").write_text("secret\n")
        path.symlink_to(home / "secret")
    else:
        path.mkdir()
    told = invoke("logs")
    assert told.exit_code == 1
    assert "triton.log is a link, or no file; remove it" in " ".join(told.stderr.split())
    assert "secret" not in told.stdout


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"[" * 100_000, b"null", b"[]", b'{"pid": "x"}', b'{"pid": 1e99, "state": null}',
                json.dumps({"pid": 2**70, "state": ORDERS}).encode(), b"{" + b" " * 2**20],
)  # fmt: skip
@pytest.mark.parametrize("command", ["status", "env", "doctor", "down"])
def test_broken_state_file_ends_no_command_in_a_traceback(home: Path, content: bytes, command: str) -> None:
    (home / "stack.json").write_bytes(content)
    (home / "kept").mkdir(mode=0o700)
    (home / "kept" / "settings.json").write_bytes(content)
    ended = invoke(command)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    assert "".join((ended.stdout + ended.stderr).split("\n")).isprintable()


@pytest.mark.parametrize("kind", ["pipe", "folder", "endless", "loop"])
@pytest.mark.parametrize("variable", ["stack.json", "PIPELINE_CONFIG", "POSTGRES_DSN_FILE", "MINIO_SECRET_KEY_FILE"])
def test_pipes_folders_and_endless_files_end_a_command_at_once(
    home: Path, kind: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "stack.json" if variable == "stack.json" else home / "file"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "endless":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
    if path.name == "file":
        monkeypatch.setenv(variable, str(path))
    ended = invoke("status" if path.name == "stack.json" else "migrate")
    assert isinstance(ended.exception, SystemExit), ended.exception
    assert path.name == "stack.json" or f"{variable}=" in ended.stderr


def test_state_with_terminal_codes_prints_none(capsys: pytest.CaptureFixture[str]) -> None:
    service = ServiceState(ORDERS, ORDERS, 1, {ORDERS: 1}, doing=ORDERS, notes=[ORDERS])
    Screen().print(service_table(StackState(1, ORDERS, {ORDERS: service})))
    assert "".join(capsys.readouterr().out.split("\n")).isprintable()


@pytest.mark.usefixtures("home")
def test_env_prints_only_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    state = StackState(os.getpid(), "ready")
    monkeypatch.setattr(launcher, "running", lambda _folders: state)
    for running in ({"A;touch /tmp/x": "1"}, {"API_PORT": "1\x1b[2J"}, {"a b": "1"}, {"": "1"}):
        kept = type("Kept", (), {"running": running})
        monkeypatch.setattr("deploy.embedded.commands._kept", lambda _folders, kept=kept: kept)
        ended = invoke("env")
        assert ended.exit_code == 2
        assert ended.stdout == ""
    kept = type("Kept", (), {"running": {"A": "'; touch x #"}})
    monkeypatch.setattr("deploy.embedded.commands._kept", lambda _folders: kept)
    assert invoke("env").stdout == """export A=''"'"'; touch x #'\n"""


def panel(folder: Path, name: str) -> Panel:
    hiding = type("Hiding", (), {"blurred": name, "detections": name, "hidden": 1, "milliseconds": 1.0})()
    return Panel(folder, name, 1, 1, 1, 1.0, (name,), name, name, None, hiding)


def test_demo_page_escapes_names_and_links_only_files_beside_it(tmp_path: Path) -> None:
    for name in ('"><script>alert(1)</script>', "javascript:alert(1)", "//evil.example/x", "a\u202eb", "?#", "&lt;"):
        page = write_page([panel(tmp_path / name.replace("/", "_"), name)], Results(tmp_path)).read_text()
        assert "<script" not in page
        assert "\u202e" not in page
        places = [part.split('"')[0] for mark in ('href="', 'src="') for part in page.split(mark)[1:]]
        assert all(place.startswith("./") and set("?#:<>").isdisjoint(place) for place in places)


async def answered(content: bytes, photo: Path, out: Path) -> Panel:
    with hostile(lambda _path: [content]) as server:
        async with open_client(server.url) as client:
            return await make_panel(client, photo, Results(out))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8, 3), np.uint8))
    return tmp_path / "1.png"


@pytest.mark.parametrize(
    "content",
    [
        http(b"<html>", kind="text/html"), http(b"{}"), http(b"[" * 10_000), http(b"null"), b"", b"HTTP/1.1 200 OK\r\n",
        http(b"x", "500 No"), http(json.dumps({"code": ORDERS}).encode(), "422 No"),
        http(json.dumps({"artifacts": {"label_map.png": {"base64": "eA=="}}}).encode()),
        http(json.dumps({"artifacts": {"../../escaped.png": {"base64": "eA=="}}}).encode()),
        http(json.dumps({"artifacts": {"1.png": {"base64": "eA=="}}}).encode()),
    ],
)  # fmt: skip
def test_demo_ends_with_an_error_on_a_bad_answer_and_writes_only_into_its_folder(
    content: bytes, photo: Path, tmp_path: Path
) -> None:
    with pytest.raises((RefusedError, httpx.HTTPError, OSError)):
        asyncio.run(answered(content, photo, tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} <= {"1.png", "out"}
    assert not (tmp_path.parent / "escaped.png").exists()
