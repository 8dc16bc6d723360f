"""NVIDIA's tritonserver out of the PyPI wheel nvidia-pytriton, made ready to run."""

import importlib.util
import shutil
import site
import subprocess
import sys
import sysconfig
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex

from deploy.embedded.elf import call_instead
from deploy.embedded.environment import plain_environment
from deploy.embedded.errors import StackError
from deploy.embedded.folders import CHECKOUT
from deploy.embedded.plain_folder import keeping_from_sweeps, plain_folder, put_link, remove_plain_folder

OWN_BACKENDS = CHECKOUT / "deploy" / "triton" / "backends"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_LIBRARY = "libtriton_python.so"
_CHANGES = "shared-memory,trace,logging"
_UNSENT = "a:b"
"""A header's name ends at its first colon in HTTP/1, and may hold none in HTTP/2."""
_UTILITIES = "triton_python_backend_utils.py"
_BRIDGE = """

def _bridge():
    import sys

    import c_python_backend_utils
    from deploy.embedded.numpy_bridge import bridge

    bridge(sys.modules[__name__], c_python_backend_utils)


_bridge()
"""
"""Follows the backend's own utilities, which every model imports."""


class TritonWheel:
    """The server, its libraries and its python backend inside the installed wheel, as seen through a plain folder.

    Triton's python stub takes neither a space nor an accent in a path, so all that it reads is linked from `folder`:
    the wheel, this Python, its packages and our own. Raises StackError where the wheel is not installed.
    """

    def __init__(self, home: Path) -> None:
        spec = importlib.util.find_spec("pytriton")
        if spec is None or spec.origin is None:
            raise StackError(
                "nvidia-pytriton is not installed; run "
                f"`pip install --no-deps --requirement {CHECKOUT / 'deploy' / 'triton' / 'requirements.txt'}`"
            )
        self._home = home
        self._held = ExitStack()
        self._package = Path(spec.origin).parent
        self._folder = home / "plain"

    def make(self) -> None:
        """Make the plain folder, and in it the links and `--backend-directory`."""
        self._folder = plain_folder(self._home)
        self._held.enter_context(keeping_from_sweeps(self._folder))
        self._make_python()
        links = {
            "server": self._package / "tritonserver",
            "server_libraries": self._package.parent / "nvidia_pytriton.libs",
            "python_libraries": Path(sysconfig.get_config_var("LIBDIR")),
        }
        for name, target in links.items():
            self.link(name, target)
        self._assemble_backends()

    @property
    def folder(self) -> Path:
        """The plain folder."""
        return self._folder

    @property
    def package(self) -> Path:
        """The installed package that has the server."""
        return self._package

    def link(self, name: str, target: Path) -> Path:
        """The target under a plain path."""
        put_link(self._folder / name, target)
        return self._folder / name

    def remove(self) -> None:
        """Remove the plain folder."""
        self._held.close()
        remove_plain_folder(self._home)

    @property
    def executable(self) -> Path:
        """The tritonserver binary."""
        return self._folder / "server" / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """What `--backend-directory` is given."""
        return self._folder / "backends"

    def environment(self) -> dict[str, str]:
        """That of the server; its python backend takes the first `python` on PATH, and its packages."""
        own = plain_environment()
        path = f"{self._folder / 'python' / 'bin'}:{own.get('PATH', '')}"
        return {**own, "PATH": path, "LD_LIBRARY_PATH": self._library_path(), "PYTHONDONTWRITEBYTECODE": "1"}

    def _library_path(self) -> str:
        """The wheel's libraries, then those of this Python, which is not always where it was built to be."""
        folders = ("server_libraries", "python_libraries", "python_base/lib")
        return ":".join(str(self._folder / folder) for folder in folders)

    def _make_python(self) -> None:
        """A virtual environment that has this one's packages, and ours before them."""
        base = self.link("python_base", Path(sys.base_prefix))
        python = self._folder / "python"
        shutil.rmtree(python, ignore_errors=True)
        packages = python / "lib" / f"python{VERSION}" / "site-packages"
        packages.mkdir(parents=True)
        (python / "bin").mkdir()
        for name in ("python", "python3"):  # the stub asks for either, by its version
            (python / "bin" / name).symlink_to(Path(sys.executable).resolve())
        (python / "pyvenv.cfg").write_text(f"home = {base / 'bin'}\ninclude-system-site-packages = false\n")
        lines = [str(self.link("code", CHECKOUT))]
        for number, folder in enumerate(_site_folders()):
            lines.append(f"import site; site.addsitedir({str(self.link(f'packages_{number}', folder))!r})")
        lines.append(
            f"import deploy.embedded.stub_paths as paths; paths.keep_plain(paths.links_in({str(self._folder)!r}))"
        )
        (packages / "maskwright.pth").write_text("\n".join(lines) + "\n", encoding="ascii")

    def _assemble_backends(self) -> None:
        """Python (library, utilities, the stub of this Python) and our own.

        Copies: Triton refuses links that lead out of the folder.
        """
        shutil.rmtree(self.backends, ignore_errors=True)
        source = self._package / "tritonserver" / "backends" / "python"
        python = self.backends / "python"
        shutil.copytree(source, python, ignore=shutil.ignore_patterns("__pycache__"))
        with (python / _UTILITIES).open("a", encoding="utf-8") as utilities:
            utilities.write(_BRIDGE)
        shutil.copy2(self._stub(), python)
        for program in (python / _LIBRARY, python / self._stub().name):
            call_instead(program, "fchmod", "getpid")  # which opens regions of shared memory to all users
        for backend in OWN_BACKENDS.iterdir():
            shutil.copytree(backend, self.backends / backend.name, ignore=shutil.ignore_patterns("__pycache__"))

    def _stub(self) -> Path:
        stub = self._package / "tritonserver" / "python_backend_stubs" / VERSION / "triton_python_backend_stub"
        if not stub.is_file():
            raise StackError(f"Triton's python backend has no stub for Python {VERSION}; use 3.11 to 3.13")
        self.require_libpython(stub)
        return stub

    def require_libpython(self, stub: Path) -> None:
        """Raise StackError where a library that the stub is linked to is not on this machine."""
        ldd = shutil.which("ldd")
        if ldd is None:
            return
        linked = subprocess.run(
            [ldd, str(stub)],
            env={"LD_LIBRARY_PATH": self._library_path()},
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        missing = [line.split()[0] for line in linked.splitlines() if "not found" in line]
        if missing:
            raise StackError(
                f"Triton's python backend needs {', '.join(missing)}, which this machine lacks; "
                f"on Debian or Ubuntu: `apt-get install libpython{VERSION}`, "
                "or use a Python that was built with --enable-shared"
            )


def listening_options(grpc_port: int, metrics_port: int, http_port: int | None = None) -> list[str]:
    """Where the server listens, on loopback, and what it does for nobody there: web pages and other users come too.

    Models are neither loaded nor unloaded once it serves. By gRPC their list stays open: the gateway asks for it. The
    key to what else would change the server is made up and thrown away; whoever reads it in the list of processes
    cannot send it, as no header has such a name.
    """
    http = [
        "--allow-http=true",
        "--http-address=127.0.0.1",
        f"--http-port={http_port}",
        f"--http-restricted-api=model-repository,{_CHANGES}:{_UNSENT}={token_hex(16)}",
    ]
    return [
        "--model-control-mode=none",
        *(http if http_port else ["--allow-http=false"]),
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc_port}",
        f"--grpc-restricted-protocol={_CHANGES}:{_UNSENT}={token_hex(16)}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={metrics_port}",
    ]


def _site_folders() -> list[Path]:
    """Where this Python has its packages."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [Path(folder) for folder in (*site.getsitepackages(), *user) if Path(folder).is_dir()]
