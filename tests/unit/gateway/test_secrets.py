"""Secrets, wherever they are said."""

import os
from pathlib import Path
from unittest.mock import patch

import pytest
from pydantic import SecretStr

from gateway.settings import Settings, SettingsError, variable_names

SECRETS = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
VALUES = ["a secret", '"quoted"', "with # sign", " spaces ", "ünï", "two\nlines"]


def settings_of(**environ: str) -> Settings:
    with patch.dict(os.environ, environ, clear=True):
        return Settings.from_environment()


def secret_of(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    assert isinstance(value, SecretStr)
    return value.get_secret_value()


def plain(name: str, value: str) -> str:
    """Some secrets are addresses, of which a few forms alone are taken."""
    return f"postgresql://u:{len(value)}@db/x" if "dsn" in name or "url" in name else value


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n", "\r"])
def test_the_line_end_of_a_secret_is_removed_wherever_it_comes_from(tmp_path: Path, name: str, end: str) -> None:
    variable, file = variable_names(name, Settings.model_fields[name])[0], tmp_path / "secret"
    for value in (plain(name, value) for value in VALUES):
        file.write_bytes(f"{value}{end}".encode())
        assert secret_of(settings_of(**{variable: value + end}), name) == value
        assert secret_of(settings_of(**{f"{variable}_FILE": f"{file}"}), name) == value
        assert secret_of(Settings.model_validate({name: value + end}), name) == value


def test_a_secret_variable_overrides_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from the file")
    said = {"JWT_SECRET_FILE": str(tmp_path / "secret")}
    assert secret_of(settings_of(**said, JWT_SECRET="x"), "jwt_secret") == "x"  # noqa: S106 of the tests
    assert secret_of(settings_of(**said, JWT_SECRET=""), "jwt_secret") == "from the file"
    assert secret_of(settings_of(JWT_SECRET_FILE=""), "jwt_secret") == ""


def test_a_byte_order_mark_is_stripped_from_a_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\ufeffsecret\r\n")
    assert secret_of(settings_of(WEBHOOK_SECRET_FILE=str(tmp_path / "secret")), "webhook_secret") == "secret"


@pytest.mark.parametrize(
    ("path", "said"), [("nothing", "absolute"), ("/nothing/there", "No such file"), ("/", "directory")]
)
def test_a_file_that_cannot_be_read_is_named(path: str, said: str) -> None:
    with pytest.raises(SettingsError, match=f"^JWT_SECRET_FILE={path}: .*{said}"):
        settings_of(JWT_SECRET_FILE=path)


def test_only_secrets_have_files(tmp_path: Path) -> None:
    (tmp_path / "host").write_text("gateway")
    assert settings_of(API_HOST_FILE=str(tmp_path / "host")).api_host == "127.0.0.1"
