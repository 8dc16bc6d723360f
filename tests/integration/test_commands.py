"""The launcher's commands and the demo, as a person types them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded.state import StackState
from tests.foreign import foreign_environment
from tests.stack import CHECKOUT, eventually, stack_environment

MASKWRIGHT = Path(sys.executable).with_name("maskwright")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With a home in a folder that a shell would take apart, and another program's packages in every variable."""
    foreign = foreign_environment(tmp_path)
    home = tmp_path / "mein Ordner ü; $(false) 'a' #"
    return {**stack_environment(home, PIPELINES="body_masks"), "COLUMNS": "200", **foreign}


def maskwright(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [MASKWRIGHT, *arguments],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


HOSTILE = {
    **dict.fromkeys(("API_PORT", "DB_PORT", "PROMETHEUS_PORT", "MASKWRIGHT_PORT"), "tcp://10.96.13.7:9092"),
    **dict.fromkeys(("http_proxy", "HTTP_PROXY", "grpc_proxy"), "http://127.0.0.1:9"),
    "KAFKA_SERVICE_HOST": "10.96.13.7", "HOST": "x86_64-conda-linux-gnu", "DEBUG": "express:*", "PROFILE": "release",
    "https_proxy": "socks5h://127.0.0.1:9", "ALL_PROXY": "garbage", "NO_PROXY": "[::1],fd00::/8", "no_proxy": "x:y:z",
}  # fmt: skip
"""What clusters, conda, Node, Cargo and companies leave in an environment."""


def test_up_twice_status_logs_and_down_in_a_hostile_environment(
    environment: dict[str, str], astronaut: Path, tmp_path: Path
) -> None:
    environment |= HOSTILE
    try:
        first = maskwright(environment, "up", "--detach")
        assert first.returncode == 0, first.stderr
        assert "maskwright run body_masks" in first.stdout
        assert {line.split("=")[0] for line in first.stderr.splitlines()} == {
            *("API_PORT", "DB_PORT", "PROMETHEUS_PORT", "HOST", "DEBUG", "PROFILE")
        }
        hostile_shell = {"PATH": environment["PATH"], "MASKWRIGHT_HOME": environment["MASKWRIGHT_HOME"], **HOSTILE}
        run = maskwright(hostile_shell, "run", "body_masks", str(astronaut), "-o", str(tmp_path / "out"))
        assert run.returncode == 0, run.stdout + run.stderr
        submitted = maskwright(hostile_shell, "submit", str(astronaut), "-o", str(tmp_path / "jobs"))
        assert submitted.returncode == 0, submitted.stdout + submitted.stderr
        assert "already running" in maskwright(environment, "up", "--detach").stdout
        status = maskwright(environment, "status")
        assert status.returncode == 0
        assert status.stdout.count("ready") == 6
        assert environment["TRITON_GRPC_PORT"] in status.stdout
        assert "Started GRPCInferenceService" in maskwright(environment, "logs", "triton", "--lines", "200").stdout
        assert maskwright(environment, "logs", "nothing").returncode == 2
    finally:
        down = maskwright(environment, "down")
    assert "stopped" in down.stdout
    assert maskwright(environment, "status").returncode == 1
    assert "nothing is running" in maskwright(environment, "down").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_in_the_foreground_ends_with_its_stack(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    here = {**environment, "MASKWRIGHT_HOME": "home"}  # relative to where the person stands, not to the checkout
    # A shell may have started the tests in the background, where SIGINT is ignored.
    up = ["env", "--default-signal=INT", MASKWRIGHT, "up"]
    command = subprocess.Popen(up, cwd=tmp_path, env=here, start_new_session=True)
    state = tmp_path / "home" / "stack.json"
    try:
        eventually(lambda: state.exists() and StackState.read(state).state == "ready", 60, "the stack is ready")
        launcher = StackState.read(state)
    finally:
        command.send_signal(number)
    assert command.wait(60) == 0
    assert not launcher.is_alive(tmp_path / "home")
    assert StackState.read(state).state == "stopped"


def test_up_tells_why_it_cannot_start(environment: dict[str, str]) -> None:
    taken = {**environment, "TRITON_HTTP_PORT": environment["PORT"]}
    ended = maskwright(taken, "up", "--detach")
    assert ended.returncode == 1
    assert "PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_demo_of_a_few_pipelines_is_refused_at_once(environment: dict[str, str]) -> None:
    ended = maskwright(environment, "demo")
    assert ended.returncode == 1
    assert "PIPELINES lacks face_contours, privacy_blur, detect" in ended.stdout


def test_the_demo_writes_a_page_with_every_picture(
    environment: dict[str, str], tmp_path: Path, astronaut: Path
) -> None:
    assert astronaut.exists()
    out = tmp_path / "demo"
    left_out = ("PIPELINES", "OPENCV_IO_MAX_IMAGE_PIXELS")  # the second is for every program of a person, this one too
    everything = {name: value for name, value in environment.items() if name not in left_out}
    ended = maskwright(everything, "demo", "--out", str(out))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    page = (out / "index.html").read_text(encoding="utf-8")
    pictures = [part.split('"')[0] for part in page.split('<img src="')[1:]]
    assert len(pictures) == 3 * (3 + 7 + 2 + 2)
    assert all((out / picture).stat().st_size > 100 for picture in pictures)
    assert "nothing is running" in maskwright(environment, "status").stderr
