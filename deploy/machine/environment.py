"""Makes the folder .venv with everything that Maskwright needs; run by environment.sh with the interpreter it found.

Run by an interpreter from outside, it makes .venv anew; run by .venv's own, it brings that up to date. Nothing but the
standard library is there yet.
"""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

CHECKOUT = Path(__file__).resolve().parents[2]
VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / ".unfinished"
INSTALLED = VENV / ".installed"
PACKAGES = ".[embedded,exporters,test]"

KEPT_OPTIONS = (
    *("index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "keyring-provider"),
    *("proxy", "cert", "client-cert", "timeout", "default-timeout", "retries", "resume-retries", "use-feature"),
    *("cache-dir", "no-cache-dir"),
)
"""Options of pip that say where packages come from. Others (user, target, prefix, constraint, no-binary, …) are meant
for other environments, and would put packages elsewhere or choose other ones."""

SECTIONS = ("global", "install", ":env:")
"""Of pip's settings; a later one overrules."""

ALONE = "00_alone.pth"
ALONE_LINE = (
    "import os, sys; [sys.path.remove(os.path.abspath(path)) for path in os.environ.pop('PYTHONPATH', '').split(':') "
    "if os.path.abspath(path) in sys.path]\n"
)
"""Python runs this line of site-packages before any program: an environment alone holds what its programs import, not
the PYTHONPATH of a shell that was prepared for something else."""


def main() -> None:
    """Make or update, and mark as installed."""
    try:
        if Path(sys.prefix).resolve() != VENV.resolve():
            say("making .venv anew, 1.6 GB" if VENV.exists() else "making the virtual environment .venv, 1.6 GB")
            make()
        UNFINISHED.touch()
        install()
        keep_alone()
        INSTALLED.write_text(str(CHECKOUT), encoding="utf-8")
        UNFINISHED.unlink()
    except OSError as error:
        fail(f".venv cannot be written: {error}; remove the folder, or give it to this user")
    except KeyboardInterrupt:
        fail("interrupted; the next `make` begins anew")


def make() -> None:
    """An empty environment with pip; whatever stood in its place goes."""
    if VENV.is_file():
        VENV.unlink()
    VENV.mkdir(exist_ok=True)
    for path in VENV.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    UNFINISHED.touch()
    seeds = has("ensurepip")
    run([sys.executable, "-I", "-m", "venv", *(() if seeds else ("--without-pip",)), str(VENV)], own_environment())
    if not seeds:
        run([sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "--quiet", "pip"], pip_environment())


def install() -> None:
    """The packages, and this checkout itself, so that its own changes count at once."""
    options = ("--quiet", "--disable-pip-version-check", "--editable", PACKAGES)
    run([str(PYTHON), "-m", "pip", "install", *options], pip_environment())


def keep_alone() -> None:
    """Let the environment's programs pass over PYTHONPATH."""
    (folder,) = VENV.glob("lib/python3.*/site-packages")
    (folder / ALONE).write_text(ALONE_LINE, encoding="utf-8")


def pip_environment() -> Mapping[str, str]:
    """Variables for pip, which reads no file then: of the user's settings those that say where packages come from."""
    listed = subprocess.run(
        [sys.executable if has("pip") else str(PYTHON), "-m", "pip", "--disable-pip-version-check", "config", "list"],
        cwd=CHECKOUT,
        env=own_environment(),
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    kept = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in options(listed.stdout.splitlines())}
    others = {name: value for name, value in own_environment().items() if not name.startswith("PIP_")}
    cache = {} if os.access(os.path.expanduser("~"), os.W_OK) else {"PIP_NO_CACHE_DIR": "1"}  # noqa: PTH111 - Path.expanduser raises where there is none
    return {**others, **cache, **kept, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1"}


def options(lines: Sequence[str]) -> list[tuple[str, str]]:
    """The kept ones of `pip config list`, whose lines are like global.timeout='60'; of equal names the last counts."""
    of_section: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
    for line in lines:
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in of_section and name in KEPT_OPTIONS:
            of_section[section].append((name, str(ast.literal_eval(value))))
    return [pair for section in SECTIONS for pair in of_section[section]]


def own_environment() -> dict[str, str]:
    """This process's, less what would change what a Python imports."""
    foreign = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONSAFEPATH", "PYTHONOPTIMIZE")
    return {name: value for name, value in os.environ.items() if name not in foreign}


def has(module: str) -> bool:
    """Whether this interpreter has the module."""
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run to the end; where it fails, end with its last words."""
    if subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode != 0:
        fail(".venv could not be made, see above; the next `make` begins anew")


def say(text: str) -> None:
    """Tell a person."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is a command


def fail(text: str) -> NoReturn:
    """End with a message."""
    say(text)
    sys.exit(1)


if __name__ == "__main__":
    main()
