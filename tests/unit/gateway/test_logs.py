import json
import logging
from collections.abc import Iterator

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
    with structlog.contextvars.bound_contextvars(request_id="r1", user_id="u1"):
        get_logger("gateway.test").info("hello", answer=42)
    line = json.loads(capsys.readouterr().err)
    assert list(line) == ["timestamp", "level", "logger", "user_id", "request_id", "message", "answer"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["logger"], line["message"]) == ("INFO", "gateway.test", "hello")


def test_other_libraries_log_in_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="json"))
    logging.getLogger("some.library").warning("it is %s", "late")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "some.library", "it is late")


def test_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
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
