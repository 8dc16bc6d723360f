"""NVIDIA's tritonserver from the PyPI wheel nvidia-pytriton, made ready to run in a folder with a plain path.

Triton starts its python stub with a shell command in which no path is quoted, and the stub reads its paths as ASCII.
"""

import fcntl
import importlib.util
import os
import re
import shutil
import site
import stat
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex

from deploy.embedded import CHECKOUT, StackError
from deploy.embedded.own_processes import plain_environment

_SECTIONS_AT, _SECTIONS = 0x28, 0x3C
"""Where the ELF header gives the position and the number of the section headers."""
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNAMIC_SYMBOLS = 11
_PLAIN = re.compile(r"/[A-Za-z0-9/._+-]*")
"""Characters that need no quoting in a shell, and split neither PATH nor LD_LIBRARY_PATH."""
_HOME = "home"
OWN_BACKENDS = CHECKOUT / "deploy" / "triton" / "backends"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_LIBRARY = "libtriton_python.so"
_CHANGES = "shared-memory,trace,logging"
_UNSENT = "a:b"
"""A header name that no client can send: in HTTP/1 a name ends at its first colon, and HTTP/2 allows none."""
_UTILITIES = "triton_python_backend_utils.py"
_BRIDGE = """

def _bridge():
    import sys

    import c_python_backend_utils
    from deploy.triton.numpy_bridge import bridge

    bridge(sys.modules[__name__], c_python_backend_utils)


_bridge()
"""
"""Appended to the backend's own utilities, which every model imports."""


class TritonWheel:
    """The server, its libraries and its python backend in the installed wheel, seen through a plain folder.

    Triton's python stub accepts neither a space nor an accent in a path. So all that it reads is linked from `folder`:
    the wheel, this Python, its packages and our own. Raises StackError if the wheel is not installed.
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
        self.package = Path(spec.origin).parent
        """The installed package that contains the server."""
        self.folder = home / "plain"
        """The plain folder, once `make` has chosen it."""

    def make(self) -> None:
        """Make the plain folder, with the links and `--backend-directory`."""
        self.folder = plain_folder(self._home)
        self._held.enter_context(keeping_from_sweeps(self.folder))
        self._make_python()
        links = {
            "server": self.package / "tritonserver",
            "server_libraries": self.package.parent / "nvidia_pytriton.libs",
            "python_libraries": Path(sysconfig.get_config_var("LIBDIR")),
        }
        for name, target in links.items():
            self.link(name, target)
        self._assemble_backends()

    def link(self, name: str, target: Path) -> Path:
        """The target under a plain path."""
        put_link(self.folder / name, target)
        return self.folder / name

    def remove(self) -> None:
        """Remove the plain folder."""
        self._held.close()
        remove_plain_folder(self._home)

    @property
    def executable(self) -> Path:
        """The tritonserver binary."""
        return self.folder / "server" / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """The value of `--backend-directory`."""
        return self.folder / "backends"

    def environment(self) -> dict[str, str]:
        """The server's environment. Its python backend uses the first `python` on PATH, and its packages."""
        own = plain_environment()
        path = f"{self.folder / 'python' / 'bin'}:{own.get('PATH', '')}"
        return {**own, "PATH": path, "LD_LIBRARY_PATH": self._library_path(), "PYTHONDONTWRITEBYTECODE": "1"}

    def _library_path(self) -> str:
        """The wheel's libraries, then those of this Python, which is not always where it was built for."""
        folders = ("server_libraries", "python_libraries", "python_base/lib")
        return ":".join(str(self.folder / folder) for folder in folders)

    def _make_python(self) -> None:
        """A virtual environment with the packages of this one, and ours before them."""
        base = self.link("python_base", Path(sys.base_prefix))
        python = self.folder / "python"
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
            f"import deploy.triton.stub_paths as paths; paths.keep_plain(paths.links_in({str(self.folder)!r}))"
        )
        (packages / "maskwright.pth").write_text("\n".join(lines) + "\n", encoding="ascii")

    def _assemble_backends(self) -> None:
        """Python (library, utilities, the stub of this Python) and our own.

        These are copies: Triton refuses links that lead out of the folder.
        """
        shutil.rmtree(self.backends, ignore_errors=True)
        source = self.package / "tritonserver" / "backends" / "python"
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
        stub = self.package / "tritonserver" / "python_backend_stubs" / VERSION / "triton_python_backend_stub"
        if not stub.is_file():
            raise StackError(f"Triton's python backend has no stub for Python {VERSION}; use 3.11 to 3.13")
        self.require_libpython(stub)
        return stub

    def require_libpython(self, stub: Path) -> None:
        """Raise StackError if a library that the stub is linked to is not on this machine."""
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

    Models are neither loaded nor unloaded while it runs. Their list stays open by gRPC, because the gateway asks for
    it. The key to everything else that would change the server is random and thrown away. Whoever reads it in the list
    of processes cannot send it, because no header can have such a name.
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


def plain_folder(home: Path) -> Path:
    """The folder `plain` in `home`. If that path is not plain, it is a link to a folder that nobody else can enter.

    The link is kept, so that the next start finds the same folder. Raises StackError if there is no place for one.
    """
    folder = home / "plain"
    if _PLAIN.fullmatch(str(folder)):
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder
    if not (folder.is_symlink() and _is_ours(folder.readlink(), home)):
        remove_plain_folder(home)
        folder.symlink_to(_make(home))
    return folder.readlink()


def remove_plain_folder(home: Path) -> None:
    """Remove what `plain_folder` made, if it is still ours."""
    folder = home / "plain"
    if folder.is_symlink():
        target = folder.readlink()
        folder.unlink()
        if _is_ours(target, home):
            shutil.rmtree(target, ignore_errors=True)
    elif folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)


def _make(home: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="maskwright-", dir=shared_folder()))
    (folder / _HOME).symlink_to(home)
    return folder


def _is_ours(folder: Path, home: Path) -> bool:
    """Whether it is the folder that was made for this home. A copied checkout has a copy of the link."""
    try:
        found = folder.lstat()
        linked = (folder / _HOME).readlink()
    except OSError:
        return False
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IRWXO)
    return private and found.st_uid == os.geteuid() and linked == home


def put_link(link: Path, target: Path) -> None:
    """Make or change a symbolic link. At every moment there is one."""
    draft = link.with_name(f"{link.name}.part")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(link)


@contextmanager
def keeping_from_sweeps(folder: Path) -> Iterator[None]:
    """Hold a lock on it: systemd-tmpfiles skips a locked folder, however old its files are."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def shared_folder() -> Path:
    """A folder for temporary ones: its path is plain, and what we make there is safe. Raises StackError."""
    for folder in _shared_folders():
        if _PLAIN.fullmatch(str(folder)) and _is_safe(folder):
            return folder
    raise StackError(
        "Maskwright's path has other characters than A-Z, a-z, 0-9 and ._+-, so it must run programs from a temporary "
        "folder, and there is none for that; set TMPDIR to one with a plain path, or move Maskwright"
    )


def _shared_folders() -> Iterator[Path]:
    """Folders where old files are cleaned late come first: XDG_RUNTIME_DIR disappears when its user logs out."""
    if os.environ.get("TMPDIR"):
        yield Path(os.environ["TMPDIR"])
    yield from map(Path, ("/var/tmp", "/tmp", "/dev/shm"))  # noqa: S108 - mkdtemp makes a name that nobody can guess


def _is_safe(parent: Path) -> bool:
    """Whether we can make programs there that nobody else can rename. The folder's owner could, and root always can."""
    try:
        found = parent.stat()
        runs = not os.statvfs(parent).f_flag & os.ST_NOEXEC
    except OSError:
        return False
    closed = not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or bool(found.st_mode & stat.S_ISVTX)
    return found.st_uid in {0, os.geteuid()} and closed and runs and os.access(parent, os.W_OK | os.X_OK)


def call_instead(program: Path, function: str, other: str) -> None:
    """Let the program call `other` wherever it calls `function`. It must call both, in the same version.

    Raises StackError if it does not.
    """
    content = bytearray(program.read_bytes())
    symbols = {name: (place, offset) for place, offset, name in _symbols(content)}
    try:
        (place, _), (_, offset) = symbols[function.encode()], symbols[other.encode()]
    except KeyError as error:
        raise StackError(f"{program} does not call {error}; install another version of it") from error
    struct.pack_into("<I", content, place, offset)
    program.write_bytes(content)


def _symbols(content: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """For each symbol: its position, the position of its name in the name table, and the name."""
    (at,), (count,) = struct.unpack_from("<Q", content, _SECTIONS_AT), struct.unpack_from("<H", content, _SECTIONS)
    sections = [_SECTION.unpack_from(content, at + number * _SECTION.size) for number in range(count)]
    for _, kind, _, _, start, size, link, *_ in sections:
        if kind == _DYNAMIC_SYMBOLS:
            names = sections[link][4]
            for place in range(start, start + size, _SYMBOL.size):
                offset = _SYMBOL.unpack_from(content, place)[0]
                yield place, offset, bytes(content[names + offset : content.index(0, names + offset)])
