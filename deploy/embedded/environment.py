"""The environment of the processes that the launcher starts: nothing in it brings them other packages or libraries."""

import os
import re
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from pydantic.fields import FieldInfo

from gateway.settings import Settings
from gateway.settings.environment import read_environment, variable_names

_FOREIGN = (
    *("PYTHON", "PIP_", "VIRTUAL_ENV", "CONDA", "_CE_", "BASH", "LD_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "OPENCV_", "CV_IO_"),
)
"""Beginnings of variables that bend the interpreter, the loader, the shell that Triton calls, threads or decoders."""
_FOREIGN_NAMES = frozenset({"ENV", "SHELLOPTS", "POSIXLY_CORRECT", "IFS", "CDPATH", "GLOBIGNORE"})
_PLAIN = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "MASKWRIGHT_TESTS"})
_PLAIN_PREFIXES = ("LC_", "CUDA_", "NVIDIA_")
"""What every process gets, none of it a secret; the last name marks what tests start."""
_WEB = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
"""What those get that speak to other servers, in capitals or not."""
_FILE = "_FILE"
_NAMING = ("SSL_CERT_", "AWS_", "PG", "GRPC_")
"""Beginnings of variables that name files, beside the settings that do."""
_IN_ADDRESS = re.compile(r"(?:ssl\w+|passfile)\s*=\s*(?:'([^']*)'|([^&\s]+))")
"""Files in PostgreSQL's addresses."""


def own_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The launcher's environment without what would bend its processes, and with what is given."""
    kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    return {**kept, **_python(), **given}


def plain_environment() -> dict[str, str]:
    """Of the launcher's environment what any process may know."""
    names = (name for name in os.environ if name in _PLAIN or name.startswith(_PLAIN_PREFIXES))
    return {**{name: os.environ[name] for name in names}, **_python()}


def settings_environment(prefixes: tuple[str, ...]) -> dict[str, str]:
    """The same with the settings that are given, proxies and certificates, and variables that begin with a prefix.

    Secrets of files are in it as values: who may read such a file need not be the user that a process runs as.
    """
    others = (name for name in os.environ if name.upper() in _WEB or name.startswith(("GRPC_", *prefixes)))
    given = read_environment(Settings.model_fields).given
    values = {_own_name(name, one.variable): one.value for name, one in given.items()}
    return {**plain_environment(), **{name: os.environ[name] for name in others}, **values}


def named_files(environment: Mapping[str, str]) -> Sequence[Path]:
    """The files that the variables name: certificates, keys, configuration. A volume of Kubernetes is one of them."""
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
    """The variable that takes a value itself, for one that names a file which holds it."""
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
    """A virtual environment holds all that is needed; without one, packages may lie in the user's folder."""
    return {"PYTHONNOUSERSITE": "1"} if sys.prefix != sys.base_prefix else {}


def _libraries() -> dict[str, str]:
    """Some Pythons find their own library through LD_LIBRARY_PATH alone: such a one keeps that folder of it."""
    folder = str(sysconfig.get_config_var("LIBDIR"))
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return {"LD_LIBRARY_PATH": folder} if folder in folders else {}
