import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.stack import CHECKOUT

SCRIPT = CHECKOUT / "deploy" / "machine" / "interpreter.sh"
TOOLS = (
    "touch",
    "chmod",
    "sh",
    "env",
    "find",
    "head",
    "tail",
    "sed",
    "grep",
    "cut",
    "sleep",
    "mkdir",
    "rm",
    "timeout",
    "cat",
)
FITS = 'echo "fits $0"'
OLD = 'case $1 in -I) echo "old is Python 3.10" ;; esac'
SHIM = 'echo "pyenv: python3.13: command not found" >&2; exit 127'
DOWNLOADS = """
    cd "$UV_PYTHON_INSTALL_DIR" && mkdir -p .temp/x/bin && touch -d 2001-01-01 .gitignore .temp/x/old
    echo some >.temp/x/old && /bin/sleep 3.5 && /bin/mv .temp/x cpython-3.13 && cd cpython-3.13/bin"""
"""As uv does; an archive's files have times of their own. It takes longer than a network without an answer is given."""


class SearchPath:
    """Folders of a PATH with small scripts as interpreters."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.checkout = folder / "the checkout"
        self.checkout.mkdir()
        self._folders = [folder / "tools"]
        self._folders[0].mkdir()
        for tool in TOOLS:
            (self._folders[0] / tool).symlink_to(str(shutil.which(tool)))

    def says(self, name: str, script: str, folder: str = "tools") -> Path:
        path = self._folder / folder / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if path.parent not in self._folders:
            self._folders.append(path.parent)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def run(self, *arguments: str, **variables: str) -> tuple[str, Sequence[str]]:
        """What it prints, and what it says to the person."""
        run = subprocess.run(
            ["/bin/sh", str(SCRIPT), *arguments],
            cwd=self.checkout,
            env={"PATH": ":".join(map(str, self._folders)), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode == 0) == bool(run.stdout)
        return run.stdout.strip(), run.stderr.splitlines()


@pytest.fixture
def path(tmp_path: Path) -> SearchPath:
    return SearchPath(tmp_path)


def test_the_highest_supported_version_is_chosen(path: SearchPath) -> None:
    path.says("python3", FITS)
    chosen = path.says("python3.12", FITS)
    path.says("python3.11", FITS)
    assert path.run() == (str(chosen), [])


def test_an_interpreter_named_in_the_environment_is_tried_first(path: SearchPath) -> None:
    path.says("python3.13", FITS)
    chosen = path.says("mine", FITS, "my folder")
    assert path.run(PYTHON=str(chosen)) == (str(chosen), [])
    assert path.run(PYTHON="mine") == (str(chosen), [])


def test_a_named_interpreter_that_does_not_fit_is_skipped_with_a_message(path: SearchPath) -> None:
    chosen = path.says("python3.13", FITS)
    old = path.says("mine", OLD, "my folder")
    said = f"PYTHON={old} does not fit ({old} is Python 3.10): taking {chosen}"
    assert path.run(PYTHON=str(old)) == (str(chosen), [said])
    assert path.run(PYTHON="absent")[1] == [f"PYTHON=absent does not fit (it does not run): taking {chosen}"]


def test_a_failing_shim_is_skipped_and_later_folders_are_searched(path: SearchPath) -> None:
    path.says("python3.13", SHIM)
    path.says("python3.12", "/bin/sleep 60")
    path.says("timeout", f'shift; exec {shutil.which("timeout")} 0.2 "$@"')
    chosen = path.says("python3.12", FITS, "later folder")
    assert path.run() == (str(chosen), [])


def test_the_python_of_an_existing_environment_is_kept(path: SearchPath) -> None:
    path.says("python3.13", FITS)
    own = path.says("python", FITS, "venv")
    assert path.run(str(own)) == (str(own), [])


def test_uv_fetches_an_interpreter_and_says_so_where_none_fits(path: SearchPath) -> None:
    old = path.says("python3", OLD)
    path.says(
        "uv",
        f"""
        case "$1 $2" in
        "python install") {DOWNLOADS} && printf '#!/bin/sh\\n{FITS}\\n' >python3 && chmod +x python3 ;;
        *) [ "$1" = --version ] ;;
        esac""",
    )
    chosen, said = path.run()
    assert chosen == str(path.checkout / ".python" / "versions" / "cpython-3.13" / "bin" / "python3")
    assert said == [f"no Python 3.11 to 3.13 here ({old} is Python 3.10): fetching Python 3.13 with uv, into .python"]
    assert path.run() == (chosen, [])


def test_an_interpreter_that_uv_has_is_used_without_a_download(path: SearchPath) -> None:
    chosen = path.says("python3", FITS, "kept by uv")
    path._folders.pop()
    path.says("uv", f'case "$1 $2 $4" in "python find 3.12") echo "{chosen}" ;; *) [ "$1" = --version ] ;; esac')
    assert path.run() == (str(chosen), [])


def test_without_uv_pip_installs_it_and_ignores_settings_of_the_target(path: SearchPath) -> None:
    path.says(
        "python3",
        """
        case "$*" in
        -I*-c*) echo "old is Python 3.10" ;;
        *--version*) ;;
        *) [ "$PIP_USER" = 0 ] && while [ $# -gt 0 ]; do
             case $1 in --target=*) mkdir -p "${1#--target=}/bin" && cd "${1#--target=}/bin" ;; esac; shift; done
           echo '#!/bin/sh' >uv && echo 'echo no mirror >&2; [ "$1" = --version ]' >>uv && chmod +x uv ;;
        esac""",
    )
    chosen, said = path.run(PIP_USER="1")
    assert chosen == ""
    assert len(said) == 1
    assert "(no mirror)" in said[0]


@pytest.mark.parametrize("uv", ["echo 'no route to host' >&2; exit 2", "exec /bin/sleep 60"])
def test_without_a_network_the_error_asks_for_a_python_and_waits_no_minute(path: SearchPath, uv: str) -> None:
    old = path.says("python3", OLD)
    path.says("uv", f'case "$1 $2" in "python install") {uv} ;; *) [ "$1" = --version ] ;; esac')
    began = time.monotonic()
    chosen, said = path.run()
    assert time.monotonic() - began < 30
    assert chosen == ""
    assert len(said) == 1
    assert said[0].startswith(f"Python 3.11 to 3.13 is needed: {old} is Python 3.10; none could be fetched (no ")
    assert "make PYTHON=" in said[0]


def test_without_uv_and_pip_the_error_asks_for_a_python(path: SearchPath) -> None:
    assert path.run()[1][0].startswith("Python 3.11 to 3.13 is needed: there is none;")


def test_the_error_names_a_missing_package_before_an_old_one(path: SearchPath) -> None:
    path.says("python3.12", 'echo "not lacks venv and pip (Debian and Ubuntu: apt-get install python3.12-venv)"')
    path.says("python3", OLD)
    assert "apt-get install python3.12-venv" in path.run()[1][0]


def test_the_interpreter_of_these_tests_is_accepted(path: SearchPath) -> None:
    assert path.run(PYTHON=sys.executable, PYTHONHOME="/nowhere", PYTHONPATH="/nowhere") == (sys.executable, [])
