"""The gateway and the workers as services of the stack; and the variables of all its processes.

No variable changes what a process loads, and each gets only the secrets that it needs.
"""

import asyncio
import os
import re
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import unquote

from pydantic.fields import FieldInfo
from typing_extensions import override

from deploy.embedded.addresses import Addresses
from deploy.embedded.folders import Folders
from deploy.embedded.rights import PYTHON, Rights, python_folders
from deploy.embedded.supervisor import Listener, Service
from gateway.settings import Settings
from gateway.settings.environment import read_environment, variable_names

_FOREIGN = (
    *("PYTHON", "PIP_", "VIRTUAL_ENV", "CONDA", "_CE_", "BASH", "LD_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "OPENCV_", "CV_IO_"),
)
"""Prefixes of variables that change the interpreter, the loader, the shell that Triton calls, threads or decoders."""
_FOREIGN_NAMES = frozenset({"ENV", "SHELLOPTS", "POSIXLY_CORRECT", "IFS", "CDPATH", "GLOBIGNORE"})
_PLAIN = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "MASKWRIGHT_TESTS"})
_PLAIN_PREFIXES = ("LC_", "CUDA_", "NVIDIA_")
"""Variables that every process gets. None of them is secret. The last name marks processes that tests start."""
_WEB = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
"""Variables for processes that speak to other servers, in upper or lower case."""
_FILE = "_FILE"
_NAMING = ("SSL_CERT_", "AWS_", "PG", "GRPC_")
"""Prefixes of variables that name files, besides the settings that do."""
_IN_ADDRESS = re.compile(r"(?:ssl\w+|passfile)\s*=\s*(?:'([^']*)'|([^&\s]+))")
"""Files in PostgreSQL's addresses."""
PROBE_TIMEOUT = 5.0
STOP_MARGIN = 15.0
"""Seconds beyond the time for work in progress."""
LONGEST_REQUEST = 30.0
"""Seconds for requests in flight; see gateway/server.py."""
_OF_POSTGRES = (".pg_service.conf", ".pgpass", ".postgresql")
_OF_AWS = (".aws",)
"""Files that clients of other servers look for in the home folder of their user."""


def own_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The launcher's environment without variables that would change how its processes work, plus the given ones."""
    kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    return {**kept, **_python(), **given}


def plain_environment() -> dict[str, str]:
    """The variables of the launcher's environment that any process may have."""
    names = (name for name in os.environ if name in _PLAIN or name.startswith(_PLAIN_PREFIXES))
    return {**{name: os.environ[name] for name in names}, **_python()}


def settings_environment(prefixes: tuple[str, ...]) -> dict[str, str]:
    """The same with the given settings, proxies and certificates, and the variables that begin with a prefix.

    Secrets from files are in it as values: the user of a process need not be able to read these files.
    """
    others = (name for name in os.environ if name.upper() in _WEB or name.startswith(("GRPC_", *prefixes)))
    given = read_environment(Settings.model_fields).given
    values = {_own_name(name, one.variable): one.value for name, one in given.items()}
    return {**plain_environment(), **{name: os.environ[name] for name in others}, **values}


def named_files(environment: Mapping[str, str]) -> Sequence[Path]:
    """The files that the variables name: certificates, keys, configuration. One may be on a volume of Kubernetes."""
    fields = Settings.model_fields.items()
    ours = {name for key, field in fields if _is_path(field) for name in variable_names(key, field)}
    found = []
    for name, value in environment.items():
        texts = [value] if name in ours or name.startswith(_NAMING) else []
        texts += [match[1] or unquote(match[2]) for match in _IN_ADDRESS.finditer(value)]
        paths = (Path(text) for text in texts if text.startswith("/"))
        found += [path for path in paths if path.is_file() or (name == "SSL_CERT_DIR" and path.is_dir())]
    return [path.parent if (path.parent / "..data").exists() else path for path in found]


def _own_name(setting: str, variable: str) -> str:
    """The variable that takes a value directly, for one that names a file with the value."""
    names = variable_names(setting, Settings.model_fields[setting])
    named = variable.upper().endswith(_FILE) and variable.upper() not in names
    return variable[: -len(_FILE)] if named else variable


def _is_path(field: FieldInfo) -> bool:
    return field.annotation in (Path, Path | None)


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name in _FOREIGN_NAMES


def _python() -> dict[str, str]:
    return {**_libraries(), "PYTHONUTF8": "1", **_own_packages()}


def _own_packages() -> dict[str, str]:
    """A virtual environment has everything that is needed. Without one, packages may be in the user's folder."""
    return {"PYTHONNOUSERSITE": "1"} if sys.prefix != sys.base_prefix else {}


def _libraries() -> dict[str, str]:
    """Some Pythons find their own library only through LD_LIBRARY_PATH. They keep that folder of it."""
    folder = str(sysconfig.get_config_var("LIBDIR"))
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return {"LD_LIBRARY_PATH": folder} if folder in folders else {}


@dataclass(frozen=True)
class OwnProcess:
    """What each of our own processes gets: its environment, and the files beside our code that it may read."""

    folders: Folders
    environment: Mapping[str, str]
    read: Sequence[Path]

    @classmethod
    def of(cls, addresses: Addresses, folders: Folders, given: Mapping[str, str]) -> "OwnProcess":
        """From the settings, with `given` before all. Logins are included only for servers in use."""
        uses = addresses.settings.db_use_database
        postgres, aws = (uses and not addresses.own_postgres), (uses and not (addresses.own_s3 and addresses.own_kafka))
        prefixes = (*(("PG",) if postgres else ()), *(("AWS_",) if aws else ()))
        environment = settings_environment(prefixes)
        home = Path(environment.get("HOME", "/"))
        names = (*(_OF_POSTGRES if postgres else ()), *(_OF_AWS if aws else ()))
        files = [home / name for name in names if os.path.lexists(home / name)]
        scratch = str(folders.scratch(folders.servers))
        if folders.servers.is_other:
            environment |= {"TMPDIR": scratch, **({} if files else {"HOME": scratch})}
        environment |= {"MASKWRIGHT_HOME": str(folders.home), **given}
        return cls(folders, environment, [*files, *named_files(environment)])


class _OwnService(Service):
    """`python -m MODULE`. The first of its ports answers health checks."""

    after = frozenset({"postgres", "s3", "kafka", "triton"})

    def __init__(self, module: str, host: str, ports: Mapping[str, int], own: OwnProcess) -> None:
        self._module = module
        self._host = host
        self._ports = ports
        self._own = own

    @override
    def command(self) -> list[str]:
        return [sys.executable, "-m", self._module]

    @override
    def environment(self) -> Mapping[str, str]:
        return self._own.environment

    @override
    def ports(self) -> Mapping[str, int]:
        return self._ports

    @override
    def listens(self) -> Sequence[Listener]:
        """At the address in API_HOST."""
        return [Listener(setting, port, self._host) for setting, port in self._ports.items()]

    @override
    def rights(self) -> Rights:
        """It reads our code and what the settings name. Without a database it stores keys in a folder."""
        folders = self._own.folders
        write = [folders.access, folders.scratch(folders.servers)]
        read, ports = [*python_folders(), *self._own.read], list(self._ports.values())
        return Rights(folders.servers, [PYTHON], read=read, write=write, ports=ports)

    @override
    async def probe(self) -> None:
        """Raises OSError or http.client.HTTPException if the process is not live."""
        await asyncio.to_thread(_ask_live, self._host, next(iter(self._ports.values())))


class Gateway(_OwnService):
    """The gateway. Its ports are those of HTTP and, if there is one, of metrics.

    It starts while Triton loads its models: its own start takes as long. Requests that come too early wait for Triton
    as they do when Triton is started anew. A worker would use up the attempts of its jobs meanwhile.
    """

    name = "gateway"
    after = frozenset({"postgres", "s3", "kafka"})
    beside = frozenset({"triton"})

    def __init__(self, settings: Settings, own: OwnProcess) -> None:
        metrics = {"PROMETHEUS_PORT": settings.metrics_port} if settings.metrics_port else {}
        super().__init__("gateway", settings.local_host, {"API_PORT": settings.api_port, **metrics}, own)
        self.stop_timeout = max(LONGEST_REQUEST, settings.shutdown_grace_s) + STOP_MARGIN


class Worker(_OwnService):
    """A worker. Several are counted from 0, each with its own port for its health page."""

    def __init__(self, settings: Settings, own: OwnProcess, number: int) -> None:
        super().__init__("gateway.worker", settings.local_host, {"WORKER_PORT": settings.worker_port + number}, own)
        self.name = f"worker-{number + 1}" if number else "worker"
        self.stop_timeout = settings.shutdown_grace_s + STOP_MARGIN

    @override
    def environment(self) -> Mapping[str, str]:
        return {**self._own.environment, **{setting: str(port) for setting, port in self._ports.items()}}


def _ask_live(host: str, port: int) -> None:
    """GET /health/live with the standard library's client: the probe runs every second, others take 20 ms to make."""
    connection = HTTPConnection(host, port, timeout=PROBE_TIMEOUT)
    try:
        connection.request("GET", "/health/live")
        answer = connection.getresponse()
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise HTTPException(f"/health/live answered {answer.status}")
