import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway.logs import configure_logs, get_logger
from gateway.settings import Settings


@pytest.fixture(autouse=True)
def configuration_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_has_the_documented_shape(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"))
    with structlog.contextvars.bound_contextvars(trace_id="t1", job_id="j1", request_id="r1", user_id="u1"):
        get_logger("gateway.test").info("hello", answer=42)
    line = json.loads(capsys.readouterr().err)
    ids = ["user_id", "request_id", "job_id", "trace_id"]
    assert list(line) == ["timestamp", "level", "logger", *ids, "message", "answer"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["logger"], line["message"]) == ("INFO", "gateway.test", "hello")


def test_a_logger_made_before_the_configuration_keeps_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    early = get_logger("gateway.early")
    configure_logs(Settings(log_format="json"))
    early.warning("hello")
    line = json.loads(capsys.readouterr().err)
    assert (line["logger"], line["message"]) == ("gateway.early", "hello")


def test_other_libraries_log_in_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"))
    logging.getLogger("some.library").warning("it is %s", "late")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "some.library", "it is late")


def test_the_log_level_is_respected(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json", log_level="WARNING"))
    get_logger("gateway.test").info("hidden")
    get_logger("gateway.test").warning("shown")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["shown"]


def test_the_readable_form_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="console"))
    get_logger("gateway.test").info("hello")
    line = capsys.readouterr().err
    assert "hello" in line
    assert not line.startswith("{")


def test_a_full_disk_loses_log_lines_and_ends_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logs(Settings(log_format="json"))
    with Path("/dev/full").open("w", buffering=1, encoding="utf-8") as full:
        monkeypatch.setattr("sys.stderr", full)
        get_logger("gateway.test").warning("hello")
        with pytest.raises(OSError, match="No space"):
            full.close()
