"""Nothing is signalled that is not ours, whatever its number was before."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.embedded import StackError, launcher
from deploy.embedded.folders import Folders, ServiceState, StackState
from deploy.embedded.launcher import end_leftovers, only_launcher, running, stop
from deploy.embedded.processes import birth_of, signal_process, writers_to
from deploy.embedded.stack import Stack, services_for
from deploy.embedded.supervisor import Service, ServiceProcess
from gateway.settings import Settings
from tests.processes import group_members

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose numbers of processes, and users")


class Script(Service):
    """A line of shell as a service."""

    name = "script"
    stop_timeout = 5.0

    def __init__(self, line: str) -> None:
        self._line = line

    def prepare(self) -> None: ...

    def clean_up(self) -> None: ...

    async def probe(self) -> None: ...

    def command(self) -> list[str]:
        return ["sh", "-c", self._line]

    def environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"]}

    def ports(self) -> Mapping[str, int]:
        return {}


@contextmanager
def stranger(*command: str, **given: object) -> Iterator["subprocess.Popen[bytes]"]:
    """Leads a session of its own, as what is started from a shell does."""
    process = subprocess.Popen(command or ("sleep", "60"), start_new_session=True, **given)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def lives(process: "subprocess.Popen[bytes]") -> bool:
    """Whether no signal ends it, which takes its moment."""
    try:
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        return True
    return False


@contextmanager
def with_number(pid: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A stranger who has been given this process id, which must be free."""
    for _ in range(200):
        LAST_PID.write_text(str(pid - 1))
        with stranger() as found:
            if found.pid == pid:
                yield found
                return
    pytest.skip("other programs of this machine start too many processes")


@contextmanager
def as_user(uid: int) -> Iterator[None]:
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


@needs_root
@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_process_id_is_not_signalled_after_its_process_was_waited_for(tmp_path: Path, end: str) -> None:
    process = await ServiceProcess.start(Script("exit 3"), tmp_path / "log")
    assert await process.wait() == 3
    with with_number(process.pid) as other:
        if end == "kill":
            process.kill()
        else:
            await process.stop()
        assert lives(other), "a stranger's session was killed"


@pytest.mark.parametrize("line", ["sleep 60 & exit 0", "sleep 60 & kill -9 $$", "trap '' TERM; sleep 60 & wait"])
async def test_process_group_ends_with_its_leader(tmp_path: Path, line: str) -> None:
    service = Script(line)
    service.stop_timeout = 0.2
    process = await ServiceProcess.start(service, tmp_path / "log")
    if "exit" not in line and "kill" not in line:
        await process.stop()
    await process.wait()
    await asyncio.to_thread(_gone, process.pid)


def _gone(group: int) -> None:
    while group_members(group):  # they are killed, and end within a moment
        pass


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    found = Folders(tmp_path / "home")
    found.create()
    return found


def stack_of(folders: Folders, pid: int, **changes: str) -> StackState:
    state = replace(StackState(pid, "ready", birth=birth_of(pid)), **changes)
    state.write(folders.state)
    return state


def is_running(folders: Folders) -> bool:
    return running(folders) is not None


@needs_root
def test_another_users_process_with_our_command_line_is_not_taken_for_the_launcher() -> None:
    looks = ("-c", "import time; print('up', flush=True); time.sleep(60)", "deploy.embedded")
    with TemporaryDirectory() as home, stranger(sys.executable, *looks, stdout=subprocess.PIPE) as other:
        folders = Folders(Path(home))
        folders.home.chmod(0o755)
        assert other.stdout is not None
        other.stdout.readline()
        state = stack_of(folders, other.pid)
        folders.lock.touch()
        with as_user(54_321):
            assert not is_running(folders)
        stop(folders, state)
        assert lives(other)


def test_launcher_is_recognised_by_its_lock_and_its_birth(folders: Folders) -> None:
    with folders.lock.open("w") as lock, stranger(stdout=lock) as ours, stranger() as other:
        stack_of(folders, ours.pid)
        assert is_running(folders)
        stack_of(folders, ours.pid, birth="")  # of an older version
        assert is_running(folders)
        stack_of(folders, ours.pid, birth=birth_of(other.pid))
        assert not is_running(folders)
        stack_of(folders, other.pid)
        assert not is_running(folders)
        stop(folders, stack_of(folders, ours.pid, birth="of another start"))
        stop(folders, stack_of(folders, other.pid))
        assert lives(ours)
        assert lives(other)
        stack = stack_of(folders, ours.pid)
        signal_process(stack.pid, signal.SIGTERM, lambda: stack.is_alive(folders.home))
        assert ours.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize("kernel", ["of today", "without pidfds"])
def test_signal_is_sent_only_to_the_process_that_is_meant(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel == "without pidfds":
        monkeypatch.delattr(os, "pidfd_open")
    with stranger() as one:
        signal_process(one.pid, signal.SIGTERM, lambda: False)
        assert lives(one)
        signal_process(one.pid, signal.SIGTERM, lambda: True)
        assert one.wait(10) == -signal.SIGTERM
        signal_process(one.pid, signal.SIGTERM, lambda: True)  # it has ended


def test_process_that_only_the_state_file_names_is_not_ended(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_GRACE_S", 0.0)
    own_log, up_log = folders.log("gateway"), folders.log("up")
    with (
        own_log.open("ab") as own,
        up_log.open("ab") as up,
        stranger() as named,
        stranger(stdout=own) as half,
        stranger(stdout=up, stderr=up) as starter,
        stranger(stdout=own, stderr=own) as left,
        stranger("sh", "-c", "sleep 60 &", stdout=own, stderr=own) as dead,
    ):
        assert dead.wait() == 0
        pids = {"gateway": named.pid, "worker": half.pid, "s3": starter.pid}
        services = {name: ServiceState(name, "ready", pid, {}) for name, pid in pids.items()}
        StackState(1, "ready", services).write(folders.state)
        end_leftovers(folders)
        assert left.wait(10) == -signal.SIGKILL
        assert writers_to([own_log], ()) == [], "the group of a dead leader is left"
        assert all(map(lives, (named, half, starter)))


CLEAR = """
import sys
from pathlib import Path
from deploy.embedded import launcher
launcher._GRACE_S = 0.0
launcher.end_leftovers(launcher.Folders(Path(sys.argv[1])))
"""


@needs_root
def test_leftover_servers_are_ended_even_if_root_cannot_see_their_files(folders: Folders) -> None:
    blind = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all", "--", sys.executable, "-c", CLEAR]
    server = ["setpriv", *folders.servers.options(), "--", "sleep", "60"]
    with (
        folders.log("s3").open("ab") as log,
        stranger(*server, stdout=log, stderr=log) as left,
        stranger("setpriv", f"--reuid={65_534}", "--clear-groups", "--", "sleep", "60") as other,
    ):
        # `left` is a zombie for as long as nobody waits for it, and must not be waited for.
        subprocess.run([*blind, str(folders.home)], check=True, timeout=20)
        assert left.wait(10) == -signal.SIGKILL
        assert lives(other)


def test_leftovers_are_found_by_the_log_of_every_service(folders: Folders) -> None:
    given = Settings(postgres_dsn="", minio_endpoint="", kafka_bootstrap_servers="", worker_processes=3)
    names = {one.name for one in services_for(given, folders)}
    assert {"postgres", "worker-3"} <= names
    assert {name for name in names if launcher._SERVICES.fullmatch(name)} == names


async def test_the_stack_runs_on_if_its_state_cannot_be_written(folders: Folders) -> None:
    folders.state.mkdir()
    await Stack([], folders).run()


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_lock_that_is_no_regular_file_gives_an_error(folders: Folders, tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        folders.lock.mkdir()
    elif kind == "link":
        folders.lock.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(folders.lock)
    with pytest.raises(StackError, match="lock is not the file"), only_launcher(folders):
        pass
    assert not (tmp_path / "elsewhere").exists()
