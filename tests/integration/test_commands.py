"""The launcher's commands and the demo, as a person types them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.embedded.folders import StackState
from tests.foreign import foreign_environment
from tests.processes import group_members, processes_in
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


def test_up_status_logs_and_down_work_in_a_hostile_environment(
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


@dataclass(frozen=True)
class Typed:
    """A command in a folder of its own, its stack's home relative to where the person stands, not to the checkout."""

    process: "subprocess.Popen[bytes]"
    folder: Path

    def reaches(self, *states: str) -> None:
        eventually(lambda: self.state in states, 60, f"the stack is {states}")

    @property
    def state(self) -> str | None:
        found = StackState.read(self.folder / "home" / "stack.json")
        return found.state if found else None

    def nothing_runs_on(self) -> None:
        eventually(lambda: processes_in(self.folder) == [], 60, "all has ended")
        assert self.state == "stopped"


@pytest.fixture
def typed(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Typed]]:
    """Types a command; whatever is left of it is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def type_in(*command: str | Path, **changed: str) -> Typed:
        folder = tmp_path / "here"
        folder.mkdir()
        given = {**environment, **changed, "MASKWRIGHT_HOME": "home", "PWD": str(folder)}
        started.append(subprocess.Popen(command, cwd=folder, env=given, start_new_session=True))
        return Typed(started[-1], folder)

    yield type_in
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_up_in_the_foreground_ends_if_its_stack_ends(typed: Callable[..., Typed], number: signal.Signals) -> None:
    up = typed(MASKWRIGHT, "up", **GATEWAY_ALONE)
    up.reaches("ready")
    up.process.send_signal(number)
    assert up.process.wait(60) == 0
    assert processes_in(up.folder) == []
    up.nothing_runs_on()


GATEWAY_ALONE = {"DB_USE_DATABASE": "false", "TRITON_GRPC_URL": "127.0.0.1:1"}
"""A stack that is up at once."""
IN_BACKGROUND = 'nohup "$0" up & exec sleep 600'
"""As scripts and CI start it: SIGINT, SIGQUIT and the end of the terminal are ignored."""


def test_up_in_the_background_of_a_script_outlives_the_terminal_and_ends_on_sigterm(
    typed: Callable[..., Typed],
) -> None:
    script = typed("sh", "-c", IN_BACKGROUND, MASKWRIGHT)
    script.reaches("ready")
    [up] = [pid for pid in group_members(script.process.pid) if pid != script.process.pid]
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(up, number)
    assert maskwright_in(script, "status").returncode == 0
    for _ in range(3):
        os.kill(up, signal.SIGTERM)
    eventually(lambda: script.state == "stopped", 60, "the stack stopped")
    eventually(lambda: group_members(script.process.pid) == [script.process.pid], 10, "up ended")
    assert not any("deploy.embedded" in one or "triton" in one for one in processes_in(script.folder))


def test_down_stops_a_detached_stack_that_a_script_started(typed: Callable[..., Typed]) -> None:
    script = typed("sh", "-c", 'nohup "$0" up --detach & wait', MASKWRIGHT, **GATEWAY_ALONE)
    assert script.process.wait(90) == 0
    assert script.state == "ready"
    assert "stopped" in maskwright_in(script, "down").stdout
    script.nothing_runs_on()


@pytest.mark.parametrize("at", ["up", "demo"])
def test_a_command_told_to_stop_while_its_stack_starts_leaves_nothing(typed: Callable[..., Typed], at: str) -> None:
    command = typed(MASKWRIGHT, at, PIPELINES="body_masks,face_contours,privacy_blur,detect")
    command.reaches("starting")
    command.process.send_signal(signal.SIGTERM)
    command.process.wait(60)
    command.nothing_runs_on()


def test_a_stack_ends_if_the_process_that_started_it_is_killed(typed: Callable[..., Typed]) -> None:
    up = typed(MASKWRIGHT, "up")
    up.reaches("starting", "ready")
    up.process.kill()
    up.nothing_runs_on()


def maskwright_in(typed: Typed, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "MASKWRIGHT_HOME": str(typed.folder / "home")}
    return maskwright(environment, *arguments)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["gateway", "--version"], "maskwright "),
        (["gateway", "run", "--help"], "python -m gateway run"),
        (["gateway", "serve", "--help"], "--port"),
        (["gateway.worker", "--help"], "Work on jobs"),
    ],
)
def test_python_m_takes_the_same_arguments_as_the_command(command: list[str], said: str) -> None:
    ended = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=60, check=True)
    assert said in ended.stdout


def test_an_unknown_argument_starts_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "--prot", "1"], capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert b"No such option" in ended.stderr


def test_up_prints_why_the_stack_cannot_start(environment: dict[str, str]) -> None:
    taken = {**environment, "TRITON_METRICS_PORT": environment["PORT"]}
    ended = maskwright(taken, "up", "--detach")
    assert ended.returncode == 1
    assert "PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_demo_without_all_pipelines_is_refused_at_once(environment: dict[str, str]) -> None:
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
