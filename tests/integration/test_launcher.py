"""The launcher: what it says of a start that cannot work, how it restarts, what it leaves behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import group_members, processes_in
from tests.stack import CHECKOUT, RunningStack, eventually, running_stack, stack_environment
from tests.triton_client import run_pipeline


def launch(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "deploy.embedded.stack"]
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=90, check=False
    )


def regions(stack: RunningStack) -> list[Path]:
    return list(Path("/dev/shm").glob(f"maskwright_{stack.environment['TRITON_GRPC_PORT']}_*"))


@pytest.mark.parametrize("setting", ["PORT", "TRITON_GRPC_PORT", "POSTGRES_PORT", "KAFKA_PORT", "WORKER_PORT"])
def test_a_used_port_is_an_error_with_its_setting(tmp_path: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = launch(stack_environment(tmp_path, **{setting: port}))
    assert ended.returncode == 1
    assert f"port {port} is taken" in ended.stderr
    assert setting in ended.stderr


@pytest.mark.parametrize("offset", [0, 4, 10_003])
def test_a_used_port_among_those_of_s3_is_an_error_with_its_setting(tmp_path: Path, offset: int) -> None:
    environment = stack_environment(tmp_path)
    port = int(environment["S3_PORT"]) + offset
    with socket.create_server(("127.0.0.1", port)):
        ended = launch(environment)
    assert ended.returncode == 1
    assert f"port {port} is taken by another program; move S3_PORT" in ended.stderr


def test_a_setting_out_of_range_is_an_error_with_its_name(tmp_path: Path) -> None:
    ended = launch(stack_environment(tmp_path, PORT="99999"))
    assert ended.returncode == 1
    assert "PORT" in ended.stderr
    assert "99999" in ended.stderr


def test_a_second_launcher_on_the_same_ports_leaves_the_first_alone(stack: RunningStack, tmp_path: Path) -> None:
    before = regions(stack)
    ended = launch({**stack.environment, "MASKWRIGHT_HOME": str(tmp_path)})
    assert ended.returncode == 1
    assert "is taken" in ended.stderr
    assert before
    assert regions(stack) == before


def test_a_second_launcher_in_the_same_folder_is_refused(stack: RunningStack) -> None:
    elsewhere = stack_environment(stack.home)
    ended = launch(elsewhere)
    assert ended.returncode == 1
    assert "another stack runs in" in ended.stderr
    assert stack.is_ready("triton")


def test_a_new_launcher_ends_the_servers_of_a_killed_one_and_uses_its_ports(tmp_path: Path) -> None:
    """A server that is slow to end is no other program, and the ports need not move."""
    with running_stack(tmp_path, PIPELINES="body_masks") as stack:
        slow = stack.pid("s3")
        os.kill(slow, signal.SIGSTOP)
        stack.launcher.kill()
        stack.launcher.wait()
        again = subprocess.Popen([sys.executable, "-m", "deploy.embedded.stack"], cwd=CHECKOUT, env=stack.environment)
        try:
            expected = {"pid": again.pid, "state": "ready"}
            eventually(
                lambda: stack.state().items() >= expected.items() or again.poll() is not None, 90, "it is ready again"
            )
            assert stack.state()["pid"] == again.pid
            assert again.poll() is None, stack.state()
            assert stack.pid("s3") != slow
            assert stack.is_ready("s3")
            assert len(processes_in(tmp_path)) > len(stack.state()["services"])
            again.kill()
            eventually(lambda: processes_in(tmp_path) == [], 60, "the servers ended")
        finally:
            again.terminate()
            again.wait(60)


def test_a_killed_triton_is_restarted_and_a_stop_leaves_no_process_or_shared_memory(
    tmp_path: Path, astronaut: Path
) -> None:
    photo = astronaut.read_bytes()
    with running_stack(tmp_path, PIPELINES="body_masks") as stack:
        before = run_pipeline(stack.triton, "body_masks_lite", photo, {})
        old = stack.pid("triton")
        os.kill(old, signal.SIGKILL)
        eventually(lambda: stack.pid("triton") != old and stack.is_ready("triton"), 60, "Triton is back")
        assert run_pipeline(stack.triton, "body_masks_lite", photo, {}) == before
        assert group_members(old) == []
        assert len(processes_in(tmp_path)) > len(stack.state()["services"])
        assert regions(stack), "the test looks for regions under a wrong name"
    assert stack.state()["state"] == "stopped"
    assert processes_in(tmp_path) == []
    assert regions(stack) == []
