import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded.environment import own_environment
from tests.foreign import foreign_environment

IMPORT = "import sys, cv2, numpy, gateway; print(*(module.__file__ for module in (cv2, numpy)), sys.flags.utf8_mode)"


@pytest.fixture(autouse=True)
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in foreign_environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def test_a_process_of_ours_imports_our_packages(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env=own_environment({}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    cv2, numpy, utf8 = ended.stdout.split()
    assert not cv2.startswith(str(tmp_path))
    assert not numpy.startswith(str(tmp_path))
    assert utf8 == "1"
    assert ended.stderr == ""


def test_a_shell_that_one_of_our_processes_calls_reads_no_file_of_the_users() -> None:
    ended = subprocess.run(["/bin/bash", "-c", "exec true"], env=own_environment({}), check=False)
    assert ended.returncode == 0


def test_settings_and_what_is_given_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_MAX_SIZE", "7")
    environment = own_environment({"POSTGRES_DSN": "given", "PYTHONPATH": "also given"})
    assert (environment["QUEUE_MAX_SIZE"], environment["POSTGRES_DSN"]) == ("7", "given")
    assert environment["PYTHONPATH"] == "also given"
    assert "OMP_NUM_THREADS" not in environment
