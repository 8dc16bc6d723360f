"""What the processes of a stack may do on the machine, and what another user of the machine may do to them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import pytest

from deploy.embedded.folders import Folders
from deploy.embedded.rights import FIRST, LAST, servers_of, triton_of
from deploy.embedded.stack import services_for
from deploy.embedded.supervisor import Service
from gateway.settings import Settings
from tests.stack import CHECKOUT, RunningStack, eventually, stack_environment

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as another user")

STRANGER = 54_321
ENDED = "Z"
"""The state of a process that nobody has waited for yet: it has no files, no umask, no memory."""
OPENING = {"0000000000000000", "0000000000000002", "0000000000000004"}
"""No capability, or the one that opens closed folders: here Python may lie below /root."""


def status_of(pid: int) -> Mapping[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def processes(stack: RunningStack) -> Mapping[int, str]:
    """Every process of the services, with its service's name: PostgreSQL's children lead sessions too."""
    leaders = {stack.pid(name): name for name in stack.state()["services"]}
    found = dict(leaders)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        state, *fields = stat.read_text().rpartition(")")[2].split()
        parent, session = int(fields[0]), int(fields[2])
        if state == ENDED:
            continue
        if session in leaders or parent in leaders:
            found[int(stat.parent.name)] = leaders.get(session) or leaders[parent]
    return found


def as_stranger(script: str, *arguments: object, user: int = STRANGER) -> str:
    """What a line of shell says that another user of the machine runs."""
    other = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
    command = [*other, "sh", "-c", script, "sh", *map(str, arguments)]
    return subprocess.run(command, cwd="/", stdout=subprocess.PIPE, text=True, check=False).stdout


def opened_by(user: int, paths: Sequence[Path]) -> str:
    """Which of them the user may read or write; of a folder, list."""
    return as_stranger(
        'for path; do if [ -r "$path" ] || [ -w "$path" ]; then echo "$path"; fi; done', *paths, user=user
    )


@as_root
def test_every_process_is_an_unprivileged_user_with_no_more_than_it_needs(stack: RunningStack) -> None:
    servers, decoder = servers_of(stack.home).uid, triton_of(stack.home).uid
    found = processes(stack)
    assert len(found) > len(stack.state()["services"]) + 4, "PostgreSQL and Triton have children"
    assert FIRST <= servers < decoder <= LAST
    for pid, name in found.items():
        status = status_of(pid)
        user = decoder if name == "triton" else servers
        assert status["Uid"].split() == [str(user)] * 4, name
        assert (status["Gid"].split(), status["Groups"]) == ([str(servers)] * 4, ""), name
        assert (status["NoNewPrivs"], status["Umask"]) == ("1", "0077"), name
        assert {status[field] for field in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} <= OPENING, name


@as_root
def test_another_user_cannot_read_or_write_files_of_a_stack(stack: RunningStack) -> None:
    home = stack.home
    regions = list(Path("/dev/shm").glob(f"maskwright_{stack.environment['TRITON_GRPC_PORT']}_*"))
    secrets = [Path(f"/proc/{pid}/{name}") for pid in processes(stack) for name in ("environ", "maps", "fd", "cwd/x")]
    assert regions
    assert {region.stat().st_mode & 0o777 for region in regions} == {0o600}
    assert opened_by(STRANGER, [home, *home.rglob("*"), *regions]) == ""
    assert as_stranger('for path; do cat "$path" || ls "$path/"; done 2>/dev/null', *secrets) == ""
    assert {file.stat().st_mode & 0o777 for file in (home / "logs").iterdir()} == {0o600}


@as_root
def test_another_user_cannot_end_or_block_a_stack(stack: RunningStack) -> None:
    launcher = stack.launcher_pid
    script = 'for pid; do kill -0 "$pid" 2>/dev/null && echo "$pid"; done'
    for user in (STRANGER, 65_534):
        assert as_stranger(script, launcher, *processes(stack), user=user) == ""
    assert as_stranger('for path; do flock -n "$path" echo held 2>/dev/null; done', *stack.home.rglob("*")) == ""


@as_root
def test_tritons_user_cannot_read_files_of_the_other_servers(stack: RunningStack) -> None:
    folders = Folders(stack.home)
    own = (folders.triton, folders.home / "plain", folders.scratch(folders.decoder))
    paths = [path for path in folders.home.rglob("*") if not any(path.is_relative_to(folder) for folder in own)]
    script = 'for path; do if [ -r "$path" ] || [ -w "$path" ]; then echo "$path"; fi; done'
    user = ["setpriv", *folders.decoder.options(), "--", "sh", "-c", script, "sh", *map(str, paths)]
    assert len(paths) > 50
    assert subprocess.run(user, cwd="/", stdout=subprocess.PIPE, text=True, check=False).stdout == ""


def test_no_secret_is_in_a_command_line_or_with_triton(stack: RunningStack) -> None:
    given = stack.addresses()
    secrets = [value for name, value in given.items() if "KEY" in name or name == "POSTGRES_DSN"]
    secrets.append(given["POSTGRES_DSN"].split(":")[2].partition("@")[0])
    told = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes(stack)}
    told |= {
        -pid: Path(f"/proc/{pid}/environ").read_bytes() for pid, name in processes(stack).items() if name == "triton"
    }
    assert len(secrets) == 4
    assert [pid for pid, text in told.items() for secret in secrets if secret.encode() in text] == []


@pytest.fixture
def closed_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Service]:
    """The services of a stack in a folder of root's that no other user may enter: each needs its capability."""
    tmp_path.chmod(0o700)
    for name, value in stack_environment(tmp_path / "home", PIPELINES="body_masks").items():
        monkeypatch.setenv(name, value)
    folders = Folders(tmp_path / "home")
    folders.create()
    services = {service.name: service for service in services_for(Settings.from_environment(), folders)}
    for name in ("postgres", "s3"):
        (folders.data / name).mkdir()
        folders.servers.own(folders.data / name)
        (folders.data / name / "kept").write_text("a secret")
    services["postgres"].prepare()
    services["triton"].prepare()
    return services


READ = 'for path; do { cat "$path"; ls "$path/"; { echo x >"$path" && echo written; }; } 2>/dev/null; done'


@as_root
@pytest.mark.parametrize("name", ["postgres", "s3", "triton", "gateway", "worker"])
def test_a_server_with_the_capability_to_open_folders_opens_only_its_own(
    closed_services: Mapping[str, Service], tmp_path: Path, name: str
) -> None:
    private, folder = (Path(tempfile.mkdtemp(prefix="maskwright-test-", dir=place)) for place in ("/var/tmp", "/root"))
    for each in (private, folder):
        (each / "key").write_text("a secret")
    home = tmp_path / "home"
    data = [home / "data" / other / "kept" for other in {"postgres", "s3"} - {name}]
    closed = [private, private / "key", folder, folder / "key", *data]
    closed += [Path("/etc/shadow"), Path("/root"), home / "logs", home / "secrets.json", Path("/proc/1/environ")]
    service = closed_services[name]
    command = service.rights().command(["sh", "-c", READ, "sh", *map(str, closed)])
    ended = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    for each in (private, folder):
        shutil.rmtree(each)
    assert service.rights().capabilities(), "the test wants a folder that is closed to the service"
    assert ended.stdout == ""
    assert service.rights().faults() == []


@as_root
def test_a_confined_process_cannot_signal_other_processes(closed_services: Mapping[str, Service]) -> None:
    user = closed_services["triton"].rights().account
    waiting = ["setpriv", *user.options(), "--", "sleep", "60"]
    with subprocess.Popen(waiting) as neighbour:
        command = closed_services["triton"].rights().command(["sh", "-c", 'kill "$1"', "sh", str(neighbour.pid)])
        assert subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 1
        neighbour.kill()


@as_root
def test_a_gateway_at_a_low_port_gets_only_the_capability_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**stack_environment(tmp_path / "home"), "API_PORT": "81", "DB_USE_DATABASE": "false"}.items():
        monkeypatch.setenv(name, value)
    folders = Folders(tmp_path / "home")
    folders.create()
    (gateway,) = [one for one in services_for(Settings.from_environment(), folders) if one.name == "gateway"]
    bind = "import socket; socket.create_server(('127.0.0.1', 81)); print(open('/proc/self/status').read())"
    ended = subprocess.run(
        gateway.rights().command([sys.executable, "-c", bind]), capture_output=True, text=True, check=True
    )
    (held,) = [int(line.split()[1], 16) for line in ended.stdout.splitlines() if line.startswith("CapEff")]
    assert held & ~0b110 == 1 << 10


@as_root
def test_an_ordinary_user_runs_a_stack_as_itself(astronaut: Path) -> None:
    """With the one capability that it would not need, were this Python not below /root."""
    home = Path(tempfile.mkdtemp(prefix="maskwright-test-", dir="/var/tmp"))
    os.chown(home, STRANGER, STRANGER)
    opening = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search", "--securebits=+no_setuid_fixup")
    user = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", *opening, "--"]
    environment = {**stack_environment(home, DB_USE_DATABASE="false", PIPELINES="body_masks"), "UMASK": "022"}
    launcher = subprocess.Popen([*user, sys.executable, "-m", "deploy.embedded.stack"], cwd=CHECKOUT, env=environment)
    stack = RunningStack(home, environment)
    try:
        eventually(lambda: stack.state()["state"] == "ready" or launcher.poll() is not None, 90, "the stack is ready")
        for pid in processes(stack):
            status = status_of(pid)
            assert (status["Uid"].split()[1], status["NoNewPrivs"], status["Umask"]) == (str(STRANGER), "1", "0077")
        answer = httpx.post(f"{stack.url}/v1/run/body_masks", files={"image": astronaut.read_bytes()}, timeout=60)
        assert answer.status_code == httpx.codes.OK, answer.text
        assert opened_by(STRANGER + 1, [home, *home.rglob("*")]) == ""
    finally:
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(60)
        shutil.rmtree(home)
