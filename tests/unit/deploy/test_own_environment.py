import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded.own_processes import named_files, own_environment, plain_environment, settings_environment
from tests.foreign import foreign_environment

IMPORT = "import sys, cv2, numpy, gateway; print(*(module.__file__ for module in (cv2, numpy)), sys.flags.utf8_mode)"


@pytest.fixture(autouse=True)
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in foreign_environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def test_our_processes_import_our_packages(tmp_path: Path) -> None:
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


def test_settings_and_given_variables_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_MAX_SIZE", "7")
    environment = own_environment({"POSTGRES_DSN": "given", "PYTHONPATH": "also given"})
    assert (environment["QUEUE_MAX_SIZE"], environment["POSTGRES_DSN"]) == ("7", "given")
    assert environment["PYTHONPATH"] == "also given"
    assert "OMP_NUM_THREADS" not in environment


def test_a_process_gets_only_its_own_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "password"
    secret.write_text("of a file\n")
    foreign = ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "MASKWRIGHT_TOKEN", "KAFKA_PASSWORT")
    for name in foreign:
        monkeypatch.setenv(name, f"secret of {name}")
    monkeypatch.setenv("KAFKA_PASSWORD_FILE", str(secret))
    monkeypatch.setenv("PORT", "8123")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    given = settings_environment(())
    assert (
        given.items() >= {"KAFKA_PASSWORD": "of a file\n", "PORT": "8123", "https_proxy": "http://proxy:3128"}.items()
    )
    assert not {*foreign, "KAFKA_PASSWORD_FILE"} - {"AWS_SECRET_ACCESS_KEY"} & {*given}  # which is a name of a setting
    assert settings_environment(("PG",))["PGPASSWORD"] == "secret of PGPASSWORD"
    assert not [value for value in plain_environment().values() if "secret" in value or "proxy" in value]


@pytest.mark.parametrize("form", ["URL", "keywords"])
def test_files_that_the_settings_name_are_found_and_no_other_paths(tmp_path: Path, form: str) -> None:
    files = [tmp_path / name for name in ("ca", "key", "root crt", "profile")]
    for file in files:
        file.touch()
    ca, key, root, profile = map(str, files)
    address = {
        "URL": f"postgresql://me@db/x?sslmode=verify-full&sslrootcert={root.replace(' ', '%20')}",
        "keywords": f"host=db sslrootcert = '{root}' user=me",
    }[form]
    environment = {
        "KAFKA_SSL_CAFILE": ca, "KAFKA_SSL_KEYFILE": key, "POSTGRES_DSN": address,
        "AWS_SHARED_CREDENTIALS_FILE": profile,
        "ROOT_PATH": str(tmp_path), "HOME": str(tmp_path), "JWT_JWKS_FILE": "/nowhere", "APP_NAME": ca,
    }  # fmt: skip
    assert set(named_files({**environment, "MASKWRIGHT_HOME": str(tmp_path)})) == {*files}


def test_for_a_file_on_a_kubernetes_volume_the_whole_volume_is_found(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "token").touch()
    assert named_files({"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}) == [tmp_path]
