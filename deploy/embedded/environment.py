"""The environment of the processes that the launcher starts: nothing in it brings them other packages or libraries."""

import os
import sys
import sysconfig
from collections.abc import Mapping

_FOREIGN = (
    *("PYTHON", "PIP_", "VIRTUAL_ENV", "CONDA", "_CE_", "BASH", "LD_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "OPENCV_", "CV_IO_"),
)
"""Beginnings of variables that bend the interpreter, the loader, the shell that Triton calls, threads or decoders."""
_FOREIGN_NAMES = frozenset({"ENV", "SHELLOPTS", "POSIXLY_CORRECT", "IFS", "CDPATH", "GLOBIGNORE"})


def own_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The launcher's environment without what would bend its processes, and with what is given."""
    kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    return {**kept, **_libraries(), "PYTHONUTF8": "1", **_own_packages(), **given}


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name in _FOREIGN_NAMES


def _own_packages() -> dict[str, str]:
    """A virtual environment holds all that is needed; without one, packages may lie in the user's folder."""
    return {"PYTHONNOUSERSITE": "1"} if sys.prefix != sys.base_prefix else {}


def _libraries() -> dict[str, str]:
    """Some Pythons find their own library through LD_LIBRARY_PATH alone: such a one keeps that folder of it."""
    folder = str(sysconfig.get_config_var("LIBDIR"))
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return {"LD_LIBRARY_PATH": folder} if folder in folders else {}
