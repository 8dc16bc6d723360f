"""Make the folder .venv with everything that Maskwright needs. environment.sh runs it with the interpreter it found.

An outside interpreter makes .venv anew. .venv's own interpreter updates it. Only the standard library is available
here.
"""

import configparser
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
PACKAGES = ".[embedded,models,test]"
TRITON = CHECKOUT / "deploy" / "triton" / "requirements.txt"

KEPT_OPTIONS = (
    *("index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "keyring-provider"),
    *("proxy", "cert", "client-cert", "timeout", "default-timeout", "retries", "resume-retries", "use-feature"),
    *("cache-dir", "no-cache-dir"),
)
"""Options of pip that say where packages come from. Others (user, target, prefix, constraint, no-binary, …) are meant
for other environments, and would put packages elsewhere or choose other ones."""

KINDS = ("global", "user", "site", "env")
SECTIONS = ("global", "install")
"""Places of pip's files, and sections in them. Later ones override earlier ones."""

COMMAND = "maskwright"
HEADER = b"""#!/bin/sh
'''exec' "$(dirname -- "$(readlink -f -- "$0")")/python" %s"$0" "$@"
' '''
"""
"""First lines of a script that finds the environment's Python from its own place. Python reads them as a string."""


def main() -> None:
    """Make or update it, and mark it as installed. A failed update leaves the old mark, so that it is tried again."""
    if VENV.is_symlink():
        fail(f".venv is a link to {VENV.resolve()}, which may be another program's: remove the link")
    try:
        if Path(sys.prefix).resolve() != VENV.resolve():
            say("making .venv anew, 1.6 GB" if VENV.exists() else "making the virtual environment .venv, 1.6 GB")
            make()
        install()
        mend_scripts()
        INSTALLED.write_bytes(os.fsencode(CHECKOUT))
        UNFINISHED.unlink(missing_ok=True)
    except OSError as error:
        fail(f".venv cannot be written: {error}; remove the folder, or give it to this user")
    except KeyboardInterrupt:
        fail("interrupted; the next `make` tries again")


def make() -> None:
    """An empty environment with pip. Whatever was in its place is removed."""
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
    """Install the packages, and this checkout itself in editable form."""
    pip = (str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    variables = pip_environment()
    run([*pip, "--editable", PACKAGES], variables)
    if TRITON.exists():
        run([*pip, "--no-deps", "--requirement", str(TRITON)], variables)


def mend_scripts() -> None:
    """Let scripts start in folders of any name. Ours also ignore PYTHONPATH and PYTHONHOME.

    If the path of Python has a space or is long, pip writes it in double quotes of a shell, in which $ is not safe.
    Those variables are for the programs of the shell that sets them: other packages would replace ours.
    """
    for script in (VENV / "bin").iterdir():
        content = script.read_bytes() if script.is_file() and not script.is_symlink() else b""
        odd, ours = content.startswith(b"#!/bin/sh\n'''exec' "), script.name == COMMAND
        if odd or ours:
            body = content.split(b"\n", 3 if odd else 1)[-1]
            script.write_bytes(HEADER % (b"-E " if ours else b"") + body)


def pip_environment() -> Mapping[str, str]:
    """Variables for pip, which then reads no file. Of the user's settings, those about package sources are kept."""
    environment = without_socks(own_environment())
    kept = {**options(pip_files()), **options_of(environment)}
    others = {name: value for name, value in environment.items() if not name.startswith("PIP_")}
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.expanduser raises where there is none
    cache = {} if os.access(home, os.W_OK) else {"no-cache-dir": "1"}
    ours = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in {**cache, **kept}.items()}
    return {**others, **ours, "PIP_CONFIG_FILE": os.devnull}


def pip_files() -> Sequence[Path]:
    """The files that pip reads, in increasing priority.

    They are asked from pip. Its own list of their values is wrong if it was told `user = true`.
    """
    python = sys.executable if has("pip") else str(PYTHON)
    command = [python, "-m", "pip", "--disable-pip-version-check", "config", "debug"]
    listed = subprocess.run(
        command,
        cwd=CHECKOUT,
        env=own_environment(),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    kind, found = "", []
    for line in listed.stdout.splitlines():
        if not line.startswith(" "):
            kind = line.rstrip(":")
        elif line.endswith(", exists: True") and kind in KINDS:
            found.append((KINDS.index(kind), Path(line.strip().removesuffix(", exists: True"))))
    return [file for _, file in sorted(found, key=lambda one: one[0])]


def options(files: Sequence[Path]) -> dict[str, str]:
    """The kept options of pip's files."""
    kept: dict[str, str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            fail(f"pip's settings in {file} cannot be read: {error}")
        for section in filter(parser.has_section, SECTIONS):
            values = {name.replace("_", "-").removeprefix("--"): value for name, value in parser.items(section)}
            kept |= {name: value for name, value in values.items() if name in KEPT_OPTIONS and value}
    return kept


def options_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The kept options that variables give."""
    names = {f"PIP_{name.upper().replace('-', '_')}": name for name in KEPT_OPTIONS}
    return {names[name]: value for name, value in environment.items() if name in names and value}


def own_environment() -> dict[str, str]:
    """This process's environment, without variables that would change what a Python imports."""
    foreign = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONSAFEPATH", "PYTHONOPTIMIZE")
    return {name: value for name, value in os.environ.items() if name not in foreign}


def without_socks(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out proxies that pip cannot use. For SOCKS, pip would first have to fetch a package."""
    socks = [
        name
        for name, value in environment.items()
        if name.lower() in ("all_proxy", "http_proxy", "https_proxy") and value.strip().lower().startswith("socks")
    ]
    left = {name: value for name, value in environment.items() if name not in socks}
    if socks and not any(left.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")):
        say(f"{', '.join(socks)}: pip speaks no SOCKS, so packages come without it, or by https_proxy=http://host:port")
    return left


def has(module: str) -> bool:
    """Whether this interpreter has the module."""
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run to the end. If it fails, end with its last words."""
    if subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode != 0:
        fail(".venv could not be made or updated, see above; the next `make` tries again")


def say(text: str) -> None:
    """Tell a person."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is a command


def fail(text: str) -> NoReturn:
    """End with a message."""
    say(text)
    sys.exit(1)


if __name__ == "__main__":
    main()
