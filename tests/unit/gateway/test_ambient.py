"""Environments that were not made for us: every one starts, or stops with a line that names what is wrong."""

import os
from collections.abc import Mapping
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import Settings, SettingsError, variable_names
from gateway.settings.environment import read_environment

OURS = [variable for name, field in Settings.model_fields.items() for variable in variable_names(name, field)]
PORTS = [variable for variable in OURS if variable.endswith("PORT")]
SERVICE_LINKS = {
    **{port: f"tcp://10.96.13.{number}:9092" for number, port in enumerate(PORTS)},
    "KAFKA_PORT": "tcp://10.96.13.7:9092", "KAFKA_PORT_9092_TCP": "tcp://10.96.13.7:9092", "KAFKA_SERVICE_PORT": "9092",
    "KAFKA_PORT_9092_TCP_PROTO": "tcp", "KAFKA_PORT_9092_TCP_ADDR": "10.96.13.7", "KAFKA_SERVICE_HOST": "10.96.13.7",
    "TRITON_GRPC_SERVICE_PORT_GRPC": "8001", "DB_PORT": "tcp://172.17.0.5:5432", "DB_ENV_POSTGRES_USER": "me",
    "MASKWRIGHT_PORT": "tcp://[fd00::13]:8000", "MASKWRIGHT_SERVICE_HOST": "fd00::13", "APP_NAME": "/web/app",
}  # fmt: skip
LEFT_BY_OTHERS = [
    *[(port, value) for port in ("KAFKA_PORT", "PORT") for value in ("udp://10.0.0.1:53", "tcp://[::1]:1", '"tcp://x:1"')],
    *[("HOST", kind) for kind in ("x86_64-conda-linux-gnu", "aarch64-unknown-linux-gnu", "arm64-apple-darwin20.0.0")],
    *[("HOST", name) for name in ("node-7", "box.example.com", "tcp://0.0.0.0:80", "unix:///run/x")],
    *[("DEBUG", value) for value in ("express:*", "*", "app,-app:sql", "knex", "2", "release")],
    ("LOG_LEVEL", "info,hyper=warn"), ("LOG_FORMAT", "%(levelname)s %(message)s"), ("LOG_FORMAT", "{time} {message}"),
    *[("PORT", value) for value in ("10.96.13.7:9092", "/run/app.sock", r"\\.\pipe\4f2", "unix:/run/app.sock")],
    *[("DATABASE_URL", f"{scheme}://u:p@db/x") for scheme in ("mysql", "mysql+pymysql", "sqlite", "mongodb+srv")],
    ("DATABASE_URL", "file:./dev.db"), ("PROFILE", "prod"), ("PROFILE", "default"), ("LOG_FORMAT", "logfmt"),
    ("PROFILE", "release"), ("PROFILE", "/etc/profile"), ("BASE_URL", "/"), ("APP_NAME", "/web/app"),
]  # fmt: skip


def settings_of(environ: Mapping[str, str]) -> Settings:
    with patch.dict(os.environ, environ, clear=True):
        return Settings.from_environment()


def remarks(environ: Mapping[str, str]) -> list[str]:
    return list(read_environment(Settings.model_fields, environ).remarks)


def complaints_of(environ: Mapping[str, str]) -> list[str]:
    try:
        settings_of(environ)
    except SettingsError as error:
        return str(error).splitlines()
    return []


def complaint(environ: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        settings_of(environ)
    return str(caught.value)


def test_kubernetes_service_links_change_no_setting_and_get_one_line_each() -> None:
    assert settings_of(SERVICE_LINKS) == settings_of({})
    lines = remarks(SERVICE_LINKS)
    assert {line.split("=")[0] for line in lines} == {*PORTS, "APP_NAME"}
    assert len(lines) == len(PORTS) + 1
    assert "KAFKA_PORT=tcp://10.96.13.7:9092 is not used: it is the address of a service" in "\n".join(lines)
    assert all("would be right" in line for line in lines)


@pytest.mark.parametrize(("variable", "value"), LEFT_BY_OTHERS)
def test_a_foreign_value_of_a_variable_is_ignored(variable: str, value: str) -> None:
    assert settings_of({variable: value}) == settings_of({})
    [line] = remarks({variable: value})
    assert line.startswith(f"{variable}=")


def test_a_foreign_value_gives_way_to_the_settings_other_name() -> None:
    assert settings_of({"API_PORT": "tcp://10.0.0.1:80", "PORT": "8080"}).api_port == 8080
    assert settings_of({"HOST": "x86_64-conda-linux-gnu", "API_HOST": "node-7"}).api_host == "node-7"
    assert remarks({"HOST": "x86_64-conda-linux-gnu", "API_HOST": "127.0.0.1"}) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *[("PORT", value) for value in ("99999", "abc", "8000/tcp", "-1")],
        *[("HOST", "999.1.1.1"), ("HOST", "0.0.0.0:80"), ("API_HOST", "http://0.0.0.0"), ("APP_DEBUG", "express:*")],
        *[("LOG_LEVEL", "loud"), ("PROFILE", "big"), ("BASE_URL", "masks.example.com")],
    ],
)
def test_a_value_that_is_merely_wrong_is_an_error_by_its_name(variable: str, value: str) -> None:
    assert complaint({variable: value}).startswith(f"{variable}={value}: ")
    assert remarks({variable: value}) == []


def test_a_message_names_the_variable_as_it_was_set() -> None:
    assert complaint({"S3_BUCKET": "x"}).startswith("S3_BUCKET=x: ")
    assert complaint({"sqlalchemy_pool_size": "1"}).startswith("sqlalchemy_pool_size=1: ")
    assert complaint({"MINIO_BUCKET": "y", "S3_BUCKET": "masks"}).startswith("MINIO_BUCKET=y: ")


@pytest.mark.parametrize(
    "value", ["8123", '"8123"', "'8123'", " 8123\r", "8123   # the port", '"8123" # it', "\ufeff8123"]
)
def test_leftovers_of_an_env_file_around_a_value_are_stripped(value: str) -> None:
    assert settings_of({"PORT": value}).api_port == 8123


@pytest.mark.parametrize("value", ["", "  ", "\r", '""', "''", "# nothing"])
def test_a_blank_value_counts_as_not_set(value: str) -> None:
    blank = settings_of(dict.fromkeys(OURS, value))
    assert blank == settings_of({})


@pytest.mark.parametrize(
    ("value", "meant"), [("True", True), ("yes", True), ("ON", True), ("0", False), ("off", False)]
)
def test_a_boolean_may_be_written_in_every_common_way(value: str, meant: bool) -> None:  # noqa: FBT001
    assert settings_of({"DEBUG": value}).app_debug is meant
    assert settings_of({"DB_USE_DATABASE": value}).db_use_database is meant


@pytest.mark.parametrize(("value", "meant"), [("warn", "WARNING"), ("Fatal", "CRITICAL"), ("trace", "DEBUG")])
def test_a_level_may_have_another_loggers_name(value: str, meant: str) -> None:
    assert settings_of({"LOG_LEVEL": value}).log_level == meant


def test_a_secret_loses_its_line_end_alone_and_a_line_says_what_looks_odd() -> None:
    environ = {
        "DB_PASSWORD": '"a b"\n',
        "DATABASE_URL": '"postgresql://me:pw@db/faces"',
        "JWT_SECRET": "x" * 32 + "\r\n",
    }
    settings = settings_of(environ)
    assert settings.db_password.get_secret_value() == '"a b"'
    assert settings.postgres_dsn.get_secret_value() == "postgresql://me:pw@db/faces"
    assert settings.jwt_secret.get_secret_value() == "x" * 32
    [line] = remarks(environ)
    assert line.startswith("DB_PASSWORD: quotes")
    assert "a b" not in line


@pytest.mark.parametrize("name", ["TRITON_HOST", "triton_http_address", "TRITON_GRPC_HOST", "TRITON_BIND"])
def test_a_setting_that_would_expose_triton_is_reported_and_ignored(name: str) -> None:
    for value in ("0.0.0.0", "::", "[::]:8001", "10.0.0.7", "triton"):  # noqa: S104 no socket is bound
        [line] = remarks({name: value})
        assert line.startswith(f"{name}={value} is not used: the embedded Triton listens on loopback alone")
        assert settings_of({name: value}) == settings_of({})
    assert [remarks({name: value}) for value in ("127.0.0.1", "localhost:8001", "[::1]", "::1")] == [[]] * 4
    assert remarks({"TRITON_SERVICE_HOST": "10.96.0.7"}) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("KAFKA_BOOSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("MINIO_ACESS_KEY", "MINIO_ACCESS_KEY"),
        ("TRITON_GRCP_URL", "TRITON_GRPC_URL"),
        ("KAFKA_INPUT_TOPIC", "KAFKA_TOPIC_INPUT"),
        ("POSTGRESDSN", None),
        ("POSTGRES_HOST", None),
        ("API_KEY", None),
        ("LOGLEVEL", None),
        ("MASKWRIGHT_API_PORT", "API_PORT"),
        ("MASKWRIGHT_HOUSE", None),
        ("MASKWRIGHT_TOKEN", None),
    ],
)
def test_a_misspelt_setting_name_is_reported(name: str, meant: str | None) -> None:
    lines = remarks({name: "secret"})
    assert lines == ([f"{name} is not used: Maskwright knows no such variable; did you mean {meant}?"] if meant else [])


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from("\udc80\udcff\"'# \r\n"))
ODD = st.sampled_from(
    ["tcp://10.0.0.1:1", "1", "8000", "true", "*", "/", "x86_64-conda-linux-gnu", "[::1]", "::", "a=b"]
)


@given(st.dictionaries(st.sampled_from([*OURS, *map(str.lower, OURS)]), TEXTS | ODD))
def test_any_environment_starts_or_says_what_is_wrong(environ: dict[str, str]) -> None:
    lines = complaints_of(environ)
    assert all(line.split("=")[0].upper() in map(str.upper, environ) and line.isprintable() for line in lines)
    assert all(line.isprintable() for line in remarks(environ))


@given(
    st.dictionaries(st.sampled_from(PORTS), st.integers(1, 40_000).map(str), max_size=3),
    st.sampled_from(LEFT_BY_OTHERS),
)
def test_an_ignored_variable_never_changes_a_setting(ports: dict[str, str], left: tuple[str, str]) -> None:
    variable, value = left
    assert settings_of({variable: value, **ports}) == settings_of(ports)
