"""Every command before a server that answers with anything: one clear line, in a bounded time and room."""

import json
import time
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app, client, jobs
from tests.certificates import self_signed
from tests.hostile_server import Answer, Hostile, hostile, http

ID = "0b7e6a9c-8f3e-4f0e-9d7a-1f2e3d4c5b6a"
ESCAPES = "\x1b]8;;https://evil.example\x07\x1b]52;c;AAAA\x07\x9b31m\u202e\n[link=https://evil.example]x[/link]"
JOB = {"id": ID, "state": "completed", "artifacts": {}, "error": None}
COMMANDS = {
    "run": ["run", "body_masks", "{photo}", "-o", "{out}"],
    "submit": ["submit", "{photo}", "-o", "{out}"],
    "list": ["jobs", "list"],
    "list json": ["jobs", "list", "--json"],
    "show": ["jobs", "show", ID],
    "watch": ["jobs", "watch", ID],
    "cancel": ["jobs", "cancel", ID],
    "delete": ["jobs", "delete", ID],
    "resend": ["jobs", "resend", ID],
    "poison": ["poison", "list"],
    "replay": ["poison", "replay", "1"],
    "stats": ["cache", "stats"],
    "recent": ["cache", "recent"],
    "cleanup": ["cache", "cleanup"],
}


def always(content: bytes) -> Answer:
    return lambda _path: [content]


def of_json(value: object) -> Answer:
    return always(http(json.dumps(value).encode()))


def endless(head: bytes, piece: bytes) -> Answer:
    return lambda _path: chain([head], repeat(piece))


def events(*lines: str) -> Answer:
    """A job that begins, and a stream of these lines."""
    body = "".join(lines).encode()
    return lambda path: [
        http(body, kind="text/event-stream")
        if path.endswith("/events")
        else http(json.dumps({**JOB, "state": "queued"}).encode())
    ]


def artifacts(*names: str) -> Answer:
    """Of `run`, and of a job."""
    files = {name: {"base64": "eA==", "bytes": 1, "url": "x"} for name in names}
    job = {**JOB, "status": "completed", "artifacts": files}
    event = f"data: {json.dumps(job)}\n\n".encode()
    return lambda path: [
        http(event, kind="text/event-stream") if path.endswith("/events") else http(json.dumps(job).encode())
    ]


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = zlib.compress(bytes(2**24), wbits=31)
ANSWERS: dict[str, Answer] = {
    "nothing": always(b""),
    "bytes": always(b"\x00\xff\x1b[2J" * 50),
    "an old protocol": always(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "html": always(http(b"<html><script>alert(1)</script>", kind="text/html")),
    "html of a proxy": always(http(b"<h1>502</h1>", "502 Bad Gateway", "text/html")),
    "a status from elsewhere": always(http(b"{}", "999 \x1b[31mRed")),
    "an end too early": always(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    "a chunk without end": always(CHUNKED + b"ffff\r\n{"),
    "two lengths": always(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
    "heads without end": endless(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"y" * 1000 + b"\r\n"),
    "promises without end": endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a body without end": endless(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "a bomb": always(http(BOMB, more="Content-Encoding: gzip\r\n")),
    "a bomb in a bomb": always(http(zlib.compress(BOMB), more="Content-Encoding: gzip, deflate\r\n")),
    "zstd": always(http(b"(\xb5/\xfd", more="Content-Encoding: zstd\r\n")),
    "itself again": always(http(b"", "302 Found", more="Location: /\r\n")),
    "busy for ever": always(http(b"", "429 Too Many Requests", more="Retry-After: 99999999999999\r\n")),
    "busy until a date": always(http(b"", "503 Away", more="Retry-After: \xb2 Jan\r\n")),
    "a refusal in escapes": always(http(json.dumps({"code": ESCAPES, "detail": ESCAPES}).encode(), "422 No")),
    "a refusal of a megabyte": always(http(json.dumps({"code": "x", "detail": "y" * 2**20}).encode(), "422 No")),
    "a refusal of another shape": always(http(b'{"code": [], "detail": 1}', "422 No")),
}
ASKED = dict.fromkeys(ANSWERS, ("run", "list", "watch"))
"""Answers that are none need not be tried by each command: the same few lines read them."""
ANSWERS |= {
    "no json": always(http(b"{'status':}")),
    "no utf-8": always(http(b'{"status": "\xff\xfe"}')),
    "half a surrogate": always(http(b'{"id": "\\ud800", "state": "\\udfff"}')),
    "deep lists": always(http(b"[" * 200_000)),
    "deep objects": always(http(b'{"a":' * 100_000)),
    "small lists": always(http(b'{"jobs":[' + b"[]," * 600_000 + b"[]]}")),
    "small numbers": always(http(b"[" + b"1," * 600_000 + b"1]")),
    "many wrong entries": always(http(b'{"jobs":[' + b"1," * 100_000 + b'1],"entries":[1],"next":null}')),
    "a number without end": always(http(b'{"id":' + b"9" * 200_000 + b"}")),
    "not a number": always(http(b'{"status": NaN, "id": Infinity, "state": -Infinity}')),
    **{f"json {value!r}": of_json(value) for value in (None, True, 1, "x", [], {}, [[]], [None], {"x": None})},
    "nulls": of_json(
        dict.fromkeys(("id", "state", "status", "artifacts", "jobs", "entries", "next", "error", "message"))
    ),
    "lists": of_json({"id": [], "state": [], "status": [], "artifacts": [], "jobs": {}, "entries": "x", "next": []}),
    "entries that are none": of_json({"jobs": [None, 1, "x", []], "entries": [[]], "next": None}),
    "empty entries": of_json({"jobs": [{}], "entries": [{}], "next": None}),
    "pages without end": of_json({"jobs": [], "entries": [], "next": "again"}),
    "entries in escapes": of_json(
        {
            "jobs": [
                {"id": ESCAPES, "state": ESCAPES, "created_at": ESCAPES, "user_id": ESCAPES, "error": {"code": ESCAPES}}
            ],
            "entries": [
                {"id": ESCAPES, "origin": [ESCAPES], "error": {"code": ESCAPES}, "created_at": "0001-01-01T00:00:00Z"}
            ],
            "next": None,
            "message": ESCAPES,
            "resent": ESCAPES,
            ESCAPES: ESCAPES,
        }
    ),
    "a job in escapes": of_json(
        {
            "id": ID,
            "state": ESCAPES,
            "status": "completed",
            "error": {"code": ESCAPES, "detail": ESCAPES},
            "artifacts": {ESCAPES: {"url": ESCAPES, "base64": "eA=="}},
            "callbacks": [{"kind": ESCAPES}, None, 1],
            "timings_ms": {ESCAPES: ESCAPES},
            "created_at": ESCAPES,
            "pipeline": ESCAPES,
        }
    ),
}
FILES = {
    "an id that leads elsewhere": of_json({**JOB, "id": "../../v1/keys"}),
    "artifacts that are none": of_json({**JOB, "status": "completed", "artifacts": {"a.png": None, "b.png": {}}}),
    "no base64": of_json({**JOB, "status": "completed", "artifacts": {"a.png": {"base64": "\u0430?"}}}),
    "a way out": artifacts("../escaped.png"),
    "an absolute way out": artifacts("/tmp/escaped.png"),
    "a hidden way out": artifacts("a/../../escaped.png"),
    "names that are none": artifacts("", ".", "..", "a//b", "a\0b", "a\nb"),
    "names in escapes": artifacts(ESCAPES),
    "a long name": artifacts("x" * 300),
    "names that meet": artifacts("a.png", "A.PNG"),
    "a file in a file": artifacts("a.png", "a.png/b.png"),
    "events that are none": events("data: {}\n\n"),
    "events in escapes": events(f"data: {ESCAPES}\n\n"),
    "events of wrong states": events('data: {"id": "x", "state": 1}\n\n'),
    "an event of nothing": events("data: null\n\n"),
    "an event deep in lists": events("data: " + "[" * 100_000 + "\n\n"),
    "an event without end": events("data: " + "x" * (2**20 + 10)),
    "events of noise": events("\x00\r\r\n:::\nevent\ndata\n\n"),
}  # fmt: skip

ASKED |= dict.fromkeys(FILES, ("run", "submit", "show", "watch"))
ANSWERS |= FILES


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(self_signed(tmp_path_factory.mktemp("tls") / "ca.pem", "none", "DNS:none"))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch, certificate: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificate)  # each client reads it, and the system's are many
    monkeypatch.setattr(client, "MOST_BYTES", 2**22)
    monkeypatch.setattr(client, "HEAD_S", 0.3)
    monkeypatch.setattr(client, "_LONGEST_PAUSE_S", 0.0)
    monkeypatch.setattr(jobs, "_PAUSE_S", 0.0)
    monkeypatch.setattr(jobs, "_BREAKS", 2)
    monkeypatch.setattr("gateway.cli.submit._TRIES", 3)


def invoke(server: Hostile, command: Iterable[str], folder: Path, **environ: str) -> Result:
    photo, out = folder / "photos" / "1.jpg", folder / "out"
    photo.parent.mkdir(exist_ok=True)
    photo.write_bytes(b"photo")
    words = [word.format(photo=photo, out=out) for word in command]
    return CliRunner(env={"COLUMNS": "100", **environ}).invoke(app, [*words, "--url", server.url])


def strangers(folder: Path) -> Iterator[Path]:
    """What was written outside the folder of results."""
    own = (folder / "photos", folder / "out")
    yield from (path for path in folder.rglob("*") if not any(path.is_relative_to(one) for one in own))
    yield from (path for path in (folder.parent / "escaped.png", Path("/tmp/escaped.png")) if path.exists())


@pytest.mark.parametrize("name", ANSWERS)
def test_every_command_ends_with_a_message_for_any_server_answer(name: str, tmp_path: Path) -> None:
    with hostile(ANSWERS[name]) as server:
        for title, command in COMMANDS.items():
            if title not in ASKED.get(name, COMMANDS):
                continue
            begun = time.monotonic()
            ended = invoke(server, command, tmp_path)
            said = ended.stdout + ended.stderr
            assert ended.exception is None or isinstance(ended.exception, SystemExit), (title, ended.exception)
            assert ended.exit_code in {0, 1}, (title, said)
            assert ended.exit_code == 0 or said, title
            assert "Traceback" not in said
            assert "".join(said.split("\n")).isprintable(), (title, said)
            assert len(said) < 20_000, title
            assert time.monotonic() - begun < 5, title
    assert list(strangers(tmp_path)) == []


def test_a_redirect_to_another_server_sends_it_no_key(tmp_path: Path) -> None:
    with hostile(always(http(b"{}"))) as other:
        for status in ("302 Found", "307 Temporary"):
            away = always(http(b"", status, more=f"Location: {other.url}/v1/jobs\r\n"))
            with hostile(away) as server:
                for command in (COMMANDS["run"], COMMANDS["list"], COMMANDS["watch"]):
                    ended = invoke(server, command, tmp_path, MASKWRIGHT_TOKEN="key")  # noqa: S106
                    assert ended.exit_code == 1
                assert all("authorization: bearer key" in head.lower() for head in server.heads)
    assert other.heads == []


def test_a_good_answer_is_saved(tmp_path: Path) -> None:
    with hostile(artifacts("upper_body_mask.png", "person_0/dress_mask.png")) as server:
        assert invoke(server, COMMANDS["run"], tmp_path).exit_code == 0
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png"))
    assert names == ["1/person_0/dress_mask.png", "1/upper_body_mask.png"]


def test_json_output_equals_the_servers_value_without_control_characters(tmp_path: Path) -> None:
    with hostile(ANSWERS["entries in escapes"]) as server:
        told = invoke(server, COMMANDS["list json"], tmp_path).stdout
    assert json.loads(told)[0]["user_id"] == ESCAPES
    assert told.replace("\n", "").isprintable()
