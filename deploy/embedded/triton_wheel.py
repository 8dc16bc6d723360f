"""NVIDIA's tritonserver out of the PyPI wheel nvidia-pytriton, made ready to run."""

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from deploy.embedded.errors import StackError
from deploy.embedded.folders import CHECKOUT

OWN_BACKENDS = CHECKOUT / "deploy" / "triton" / "backends"


class TritonWheel:
    """The server, its libraries and its python backend inside the installed wheel.

    Raises StackError where it is not installed.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec("pytriton")
        if spec is None or spec.origin is None:
            raise StackError("nvidia-pytriton is not installed; run `pip install -e '.[embedded]'`")
        package = Path(spec.origin).parent
        self._server = package / "tritonserver"
        self._libraries = package.parent / "nvidia_pytriton.libs"

    @property
    def executable(self) -> Path:
        """The tritonserver binary."""
        return self._server / "bin" / "tritonserver"

    def library_path(self) -> str:
        """LD_LIBRARY_PATH for the server: the wheel's libraries, then those of the running Python."""
        return f"{self._libraries}:{sysconfig.get_config_var('LIBDIR')}"

    def assemble_backends(self, target: Path) -> None:
        """Lay out `--backend-directory`: python (library, utilities, the stub of this Python) and our own.

        Copies: Triton refuses links that lead out of the folder.
        """
        shutil.rmtree(target, ignore_errors=True)
        python = target / "python"
        shutil.copytree(self._server / "backends" / "python", python, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(self._stub(), python)
        for backend in OWN_BACKENDS.iterdir():
            shutil.copytree(backend, target / backend.name, ignore=shutil.ignore_patterns("__pycache__"))

    def _stub(self) -> Path:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        stub = self._server / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not stub.is_file():
            raise StackError(f"Triton's python backend has no stub for Python {version}; use 3.10 to 3.12")
        self.require_libpython(stub)
        return stub

    def require_libpython(self, stub: Path) -> None:
        """Raise StackError where a library that the stub is linked to is not on this machine."""
        ldd = shutil.which("ldd")
        if ldd is None:
            return
        linked = subprocess.run(
            [ldd, str(stub)],
            env={"LD_LIBRARY_PATH": self.library_path()},
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        missing = [line.split()[0] for line in linked.splitlines() if "not found" in line]
        if missing:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise StackError(
                f"Triton's python backend needs {', '.join(missing)}, which this machine lacks; "
                f"on Debian or Ubuntu: `apt-get install libpython{version}`, "
                "or use a Python that was built with --enable-shared"
            )
