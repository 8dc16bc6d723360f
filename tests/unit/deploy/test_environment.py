import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.machine import environment
from tests.stack import CHECKOUT

MACHINE = Path("deploy") / "machine"


def test_pip_settings_about_sources_are_kept_and_those_about_folders_dropped(tmp_path: Path) -> None:
    first, second = tmp_path / "first.conf", tmp_path / "second.conf"
    first.write_text(
        "[install]\nfind-links =\n  /a b\n  /c\ntarget = /x\n[global]\nuser = true\ntimeout = 60\nretries = 2\n"
    )
    second.write_text("[global]\ntimeout = 7\nindex_url = https://mirror/%(simple)s\n[download]\nproxy = other\n")
    kept = {"find-links": "\n/a b\n/c", "timeout": "7", "retries": "2", "index-url": "https://mirror/%(simple)s"}
    assert environment.options([first, second]) == kept


@pytest.mark.parametrize("user", ["1", "0"])
def test_pip_gets_the_sources_from_its_files_and_from_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nuser = true\ntarget = /x\nproxy = http://p:1\nfind-links = /no\n")
    for name, value in {"CONFIG_FILE": str(tmp_path / "pip.conf"), "USER": user, "FIND_LINKS": "/wheels"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    given = {name: value for name, value in environment.pip_environment().items() if name.startswith("PIP_")}
    expected = {"PIP_PROXY": "http://p:1", "PIP_FIND_LINKS": "/wheels", "PIP_CONFIG_FILE": os.devnull}
    assert expected.items() <= given.items()
    assert not {"PIP_USER", "PIP_TARGET"} & given.keys()


def test_pip_gets_no_socks_proxy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")
    assert "ALL_PROXY" not in environment.pip_environment()
    assert capsys.readouterr().err.startswith("ALL_PROXY: pip speaks no SOCKS")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert environment.pip_environment()["https_proxy"] == "http://proxy:3128"
    assert capsys.readouterr().err == ""


def test_without_a_writable_home_pip_uses_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", "/nowhere")
    assert environment.pip_environment()["PIP_NO_CACHE_DIR"] == "1"


class Checkout:
    """A checkout with the real environment.sh, whose helpers say what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / MACHINE).mkdir(parents=True)
        shutil.copy(CHECKOUT / MACHINE / "environment.sh", folder / MACHINE)
        self.says("preflight.sh", "echo 'ok: all'")
        self.says("interpreter.sh", f'echo "found for [$1]" >&2; echo {sys.executable}')
        (folder / MACHINE / "environment.py").write_text("print('made')")
        (folder / "pyproject.toml").touch()

    def says(self, name: str, script: str) -> None:
        (self.folder / MACHINE / name).write_text(script)

    def installed(self, in_folder: str) -> None:
        """As after a first run in that folder."""
        (self.folder / ".venv" / "bin").mkdir(parents=True)
        (self.folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
        (self.folder / ".venv" / ".installed").write_text(in_folder)

    def run(self, purpose: str = "install") -> Sequence[str]:
        run = subprocess.run(
            ["/bin/sh", MACHINE / "environment.sh", purpose],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return (run.stderr + run.stdout).splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "mein Ordner ü")


def test_a_fresh_checkout_gets_an_environment(checkout: Checkout) -> None:
    assert checkout.run() == ["found for []", "made"]


def test_an_existing_environment_is_not_touched(checkout: Checkout) -> None:
    checkout.installed(str(checkout.folder))
    assert checkout.run() == []
    assert checkout.run("run") == []


def test_a_newer_pyproject_updates_the_environment_with_its_own_python(checkout: Checkout) -> None:
    checkout.installed(str(checkout.folder))
    os.utime(checkout.folder / ".venv" / ".installed", (0, 0))
    assert checkout.run() == [f"found for [{checkout.folder}/.venv/bin/python]", "made"]


@pytest.mark.parametrize("harm", ["unfinished", "moved", "interpreter is gone", "too old"])
def test_an_environment_that_does_not_work_is_made_anew(checkout: Checkout, harm: str) -> None:
    checkout.installed("/where/it/was" if harm == "moved" else str(checkout.folder))
    python = checkout.folder / ".venv" / "bin" / "python"
    if harm == "unfinished":
        (checkout.folder / ".venv" / ".unfinished").touch()
    if harm == "interpreter is gone":
        python.unlink()
        python.symlink_to("/nowhere/python3")
    if harm == "too old":
        python.unlink()
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    assert checkout.run() == ["found for []", "made"]


def test_an_impossible_addition_is_refused_before_anything_is_written(checkout: Checkout) -> None:
    checkout.says("preflight.sh", "echo 'ok: one'; echo 'no: two'; echo 'no: three'; exit 1")
    assert checkout.run() == ["✗ two", "✗ three"]


def test_a_taken_port_is_reported_even_where_the_environment_exists(checkout: Checkout) -> None:
    checkout.installed(str(checkout.folder))
    checkout.says("preflight.sh", 'echo "no: $1"; exit 1')
    assert checkout.run("install") == []
    assert checkout.run("run") == ["✗ run"]


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in a folder whose name a shell would read."""
    made = tmp_path / 'it\'s a "$HOME" ü `id`'
    venv.create(made, with_pip=False)
    monkeypatch.setattr(environment, "VENV", made)
    return made


def _script(folder: Path, name: str, header: str) -> Path:
    script = folder / "bin" / name
    script.write_text(
        f"{header}\nimport importlib.util, sys\nprint(sys.prefix, importlib.util.find_spec('cv2') is None)\n"
    )
    script.chmod(0o755)
    return script


def test_scripts_in_an_odd_folder_find_their_python(odd: Path, tmp_path: Path) -> None:
    script = _script(odd, "other", f"#!/bin/sh\n'''exec' \"{odd}/bin/python\" \"$0\" \"$@\"\n' '''")
    (tmp_path / "link").symlink_to(script)
    for _ in range(2):
        environment.mend_scripts()
        for called in (script, tmp_path / "link"):
            assert subprocess.run([called], capture_output=True, text=True, check=True).stdout == f"{odd} True\n"


@pytest.mark.parametrize("header", ["#!/plain/python", "#!/bin/sh\n'''exec' \"/a b/python\" \"$0\" \"$@\"\n' '''"])
def test_our_command_ignores_pythonpath(odd: Path, tmp_path: Path, header: str) -> None:
    script = _script(odd, "maskwright", header)
    (tmp_path / "cv2.py").touch()
    foreign = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nowhere", "PATH": os.environ["PATH"]}
    for _ in range(2):
        environment.mend_scripts()
        run = subprocess.run([script], env=foreign, capture_output=True, text=True, check=True)
        assert run.stdout == f"{odd} True\n"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that is there, whose own interpreter brings it up to date."""
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / ".installed").write_text("before")
    for name, value in {
        "VENV": folder,
        "UNFINISHED": folder / ".unfinished",
        "INSTALLED": folder / ".installed",
    }.items():
        monkeypatch.setattr(environment, name, value)
    monkeypatch.setattr(sys, "prefix", str(folder))
    return folder


def test_a_failed_update_leaves_the_environment_to_be_updated_again(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "install", lambda: environment.fail("no network"))
    with pytest.raises(SystemExit):
        environment.main()
    assert [path.name for path in made.iterdir() if path.is_file()] == [".installed"]
    assert (made / ".installed").read_text() == "before"


def test_an_update_is_marked_with_a_folder_of_any_name(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "install", lambda: None)
    monkeypatch.setattr(environment, "CHECKOUT", Path(os.fsdecode(b"/m\xfcller")))
    environment.main()
    assert (made / ".installed").read_bytes() == b"/m\xfcller"


def test_a_link_in_place_of_the_environment_is_refused(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = made.with_name("link")
    link.symlink_to(made)
    monkeypatch.setattr(environment, "VENV", link)
    with pytest.raises(SystemExit):
        environment.main()
    assert f".venv is a link to {made}" in capsys.readouterr().err
    assert (made / ".installed").exists()
