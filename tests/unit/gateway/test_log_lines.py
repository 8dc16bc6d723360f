import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from gateway.logs import configure_logs, get_logger
from gateway.settings import Settings

ESCAPE = "\x1b["


@pytest.fixture(autouse=True)
def configuration_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lose() -> None:
    raise LookupError("lost and [gone]")


@pytest.mark.parametrize(
    ("message", "symbol"),
    [
        ("listening on http://127.0.0.1:8000", "🚀"),
        ("job begun", "📋"),
        ("job completed", "✅"),
        ("job failed", "❌"),
        ("cache hit", "⚡"),
        ("something else", "•"),
    ],
)
def test_lines_begin_with_what_happened(capsys: pytest.CaptureFixture[str], message: str, symbol: str) -> None:
    configure_logs(Settings(log_format="console"))
    with structlog.contextvars.bound_contextvars(job_id="6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11", trace_id="t1"):
        get_logger("gateway.test").info(message, pipeline="face_contours")
    clock, found, rest = capsys.readouterr().err.rstrip("\n").split(" ", 2)
    assert (len(clock), found) == (8, symbol)
    assert rest.startswith(f"{message}  ")
    assert "pipeline=face_contours" in rest
    assert "job_id=6f1c0e4e" in rest
    assert "0d0e-4a57" not in rest


def test_one_event_is_one_line_without_orders_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="console"))
    get_logger("gateway.test").warning("a\nb [red]c[/]", user=f"{ESCAPE}2Jx\r\n✅ job completed")
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert ESCAPE not in written
    assert "a\\nb [red]c[/]" in written


def test_a_level_of_a_librarys_own_is_logged_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="console"))
    logging.getLogger("some.library").log(25, "noted")
    assert capsys.readouterr().err.split(" ", 1)[1] == "• noted\n"


def test_long_lines_are_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="console"))
    get_logger("gateway.test").info("long", detail="x y " * 200)
    assert capsys.readouterr().err.count("\n") == 1


def test_an_error_brings_its_traceback_from_any_library(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="console"))
    try:
        lose()
    except LookupError as error:
        get_logger("gateway.test").error("unexpected error", exc_info=error)
        logging.getLogger("some.library").exception("it failed")
    written = capsys.readouterr().err
    assert written.count("LookupError: lost and [gone]") == 2
    assert written.index("unexpected error") < written.index("Traceback")


def test_an_error_that_quotes_a_caller_cannot_forge_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="console"))
    error = LookupError(f"{ESCAPE}2J here\n12:00:00 ✅ job completed " + "long " * 100)
    get_logger("gateway.test").error("unexpected error", exc_info=error)
    first, *rest = capsys.readouterr().err.splitlines()
    assert "unexpected error" in first
    assert all(line.startswith("  ") or not line for line in rest)
    assert ESCAPE not in "".join(rest)
    assert "".join(rest).count("long") == 100


def test_colours_are_printed_where_forced_as_in_a_container(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    configure_logs(Settings())
    get_logger("gateway.test").info("job completed")
    written = capsys.readouterr().err
    assert ESCAPE in written
    assert "✅" in written


def test_lines_are_json_where_the_output_is_not_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings())
    get_logger("gateway.test").info("job completed")
    assert json.loads(capsys.readouterr().err)["message"] == "job completed"
