import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from deploy.embedded.folders import Folders
from deploy.embedded.stack import services_for
from gateway.settings import Settings
from tests.ports import free_ports
from tests.stack import CHECKOUT

SCRIPT = CHECKOUT / "deploy" / "machine" / "preflight.sh"
CPU = "processor : 0\nflags : fpu sse sse2 avx avx2\n"


class Machine:
    """A machine that the script takes for real: programs that answer, and /proc."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self._bin, self._proc = folder / "checkout", folder / "bin", folder / "proc"
        for made in (self.checkout, self._bin, self._proc / "net"):
            made.mkdir(parents=True)
        self.variables: dict[str, str] = {}
        self.says("uname", "case $1 in -m) echo x86_64 ;; *) echo Linux ;; esac")
        self.says("getconf", "case $1 in LONG_BIT) echo 64 ;; *) echo glibc 2.36 ;; esac")
        self.has(cpuinfo=CPU, meminfo="MemTotal: 8000000 kB\n")

    def says(self, program: str, script: str) -> None:
        path = self._bin / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def has(self, **files: str) -> None:
        for name, text in files.items():
            (self._proc / name).write_text(text)

    def told(self, purpose: str = "run") -> Sequence[str]:
        """What cannot work."""
        run = subprocess.run(
            ["/bin/sh", str(SCRIPT), purpose],
            cwd=self.checkout,
            env={"PATH": f"{self._bin}:{os.environ['PATH']}", "PREFLIGHT_PROC": str(self._proc), **self.variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.stderr == ""
        lines = run.stdout.splitlines()
        assert all(line.startswith(("ok: ", "no: ")) for line in lines)
        problems = [line[4:] for line in lines if line.startswith("no: ")]
        assert run.returncode == bool(problems)
        return problems


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_good_machine_passes_in_two_seconds_without_leaving_files(machine: Machine) -> None:
    began = time.monotonic()
    assert machine.told() == []
    assert time.monotonic() - began < 2
    assert list(machine.checkout.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "script", "said"),
    [
        ("uname", "echo Darwin", "this is Darwin"),
        ("uname", "case $1 in -m) echo riscv64 ;; *) echo Linux ;; esac", "the processor is riscv64"),
        ("getconf", "case $1 in LONG_BIT) echo 32 ;; *) echo glibc 2.36 ;; esac", "of 32 bits"),
        ("getconf", "case $1 in LONG_BIT) echo 64 ;; *) echo glibc 2.34 ;; esac", "glibc 2.34 is too old"),
        ("getconf", "case $1 in LONG_BIT) echo 64 ;; *) exit 1 ;; esac", "musl"),
        ("df", "echo H; echo '//srv/my share 9999999 9 1000000 99% /mnt/my disk'", "977 MB are free"),
        ("ln", "exit 1", "no symbolic links"),
    ],
)
def test_a_machine_that_cannot_work_is_reported_with_the_reason(
    machine: Machine, program: str, script: str, said: str
) -> None:
    machine.says(program, script)
    told = machine.told("install")
    assert len(told) == 1
    assert said in told[0]


def test_every_fault_is_reported_in_one_message(machine: Machine) -> None:
    machine.says("uname", "case $1 in -m) echo i686 ;; *) echo Linux ;; esac")
    machine.says("getconf", "echo glibc 2.31")
    machine.has(meminfo="MemTotal: 500000 kB\n")
    machine.variables["TMPDIR"] = "/nowhere"
    assert [line.split()[0] for line in machine.told()] == ["the", "glibc", "the", "488"]


def test_a_processor_without_avx_is_refused_on_x86_alone(machine: Machine) -> None:
    machine.has(cpuinfo=CPU.replace("avx", "sse4"))
    assert ["AVX" in line for line in machine.told()] == [True]
    machine.says("uname", "case $1 in -m) echo aarch64 ;; *) echo Linux ;; esac")
    assert machine.told() == []


def test_the_memory_limit_of_a_container_is_checked(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("536870912\n")
    machine.variables["PREFLIGHT_CGROUP"] = str(tmp_path)
    assert machine.told() == ["512 MB of memory, the stack needs 1400 MB: give the machine or the container more"]
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.told() == []


def test_memory_is_checked_only_if_the_stack_has_its_own_triton(machine: Machine) -> None:
    machine.has(meminfo="MemTotal: 500000 kB\n")
    machine.variables["PREFLIGHT_SHM"] = "/nowhere"
    assert machine.told("install") == []
    assert [line.split()[0] for line in machine.told()] == ["488", "/nowhere,"]
    machine.variables["TRITON_GRPC_URL"] = "elsewhere:8001"
    assert machine.told() == []


def test_a_folder_with_an_impossible_path_is_refused(machine: Machine, tmp_path: Path) -> None:
    machine.checkout = tmp_path / "a:b"
    machine.checkout.mkdir()
    assert ["colon" in line for line in machine.told()] == [True]


@pytest.mark.parametrize("name", ["mein Ordner ü", 'it\'s $HOME `id` "x"', "x" * 200])
def test_checkout_folders_with_odd_names_pass(machine: Machine, tmp_path: Path, name: str) -> None:
    machine.checkout = tmp_path / name
    machine.checkout.mkdir()
    assert machine.told() == []


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Sequence[str]]:
    """How to run a script that mounts a file system; passed over where nobody may."""
    command = ["unshare", "--mount", "sh", "-c"]
    probe = subprocess.run([*command, f"mount -t tmpfs tmpfs {tmp_path}"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("this user may not mount file systems")
    return command


@pytest.mark.parametrize(
    ("options", "folder", "said"),
    [
        ("noexec", ".", "noexec"),
        ("ro", ".", "cannot be written"),
        ("size=30m", "/dev/shm", "30 MB are free in /dev/shm"),
    ],
)
def test_unusable_file_system_is_refused(
    mounted: Sequence[str], tmp_path: Path, options: str, folder: str, said: str
) -> None:
    script = f"mount -t tmpfs -o {options} tmpfs {folder} && cd {tmp_path} && sh '{SCRIPT}' run"
    run = subprocess.run([*mounted, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said in next(line for line in run.stdout.splitlines() if line.startswith("no: "))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104 - a listener that is in the way
def test_a_used_port_is_reported_with_its_setting(machine: Machine, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    machine.variables["PREFLIGHT_PROC"] = "/proc"
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]
        machine.variables |= {**_free(), "S3_PORT": str(port - 2)}
        told = [line for line in machine.told() if str(port) in line]
    assert told == [f"port {port} is taken by another program: move S3_PORT to a free one"]


def test_a_port_used_at_another_address_counts_as_free(machine: Machine) -> None:
    machine.variables["PREFLIGHT_PROC"] = "/proc"
    with socket.create_server(("127.0.0.9", 0)) as taken:
        port = taken.getsockname()[1]
        machine.variables |= {**_free(), "API_PORT": str(port)}
        assert not [line for line in machine.told() if str(port) in line]


def _free() -> Mapping[str, str]:
    names = ("API_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT", "WORKER_PORT")
    return dict(zip((*names, "POSTGRES_PORT", "KAFKA_PORT"), map(str, free_ports(6)), strict=True))


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"PORT": "9999", "WORKER_PROCESSES": "3", "PROMETHEUS_PORT": "9111", "S3_PORT": "9500"},
        {"TRITON_HTTP_PORT": "8100"},
        {"PROMETHEUS_PORT": "9111", "ENABLE_METRICS": "false", "KAFKA_PORT": "9100"},
        {"DB_USE_DATABASE": "false", "TRITON_GRPC_PORT": "9555"},
        {"POSTGRES_DSN": "postgresql://a/b", "MINIO_ENDPOINT": "h:1", "KAFKA_BOOTSTRAP_SERVERS": "h:2"},
        {"TRITON_GRPC_URL": "elsewhere:8001", "DB_HOST": "db"},
    ],
)
def test_the_script_checks_the_ports_that_the_stack_uses(
    variables: Mapping[str, str], machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.endswith("_PORT") or name in ("PORT", "POSTGRES_DSN", "MINIO_ENDPOINT", "KAFKA_BOOTSTRAP_SERVERS"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    folders = Folders(tmp_path)
    listeners = [each for service in services_for(Settings.from_environment(), folders) for each in service.listens()]
    rows = "".join(f" 0: 00000000:{one.port:04X} 00000000:0000 0A\n" for one in listeners)
    machine.has(**{"net/tcp": f"sl local rem st\n{rows}"})
    machine.variables |= variables
    expected = {f"port {one.port} is taken by another program: move {one.setting} to a free one" for one in listeners}
    assert set(machine.told()) == expected
