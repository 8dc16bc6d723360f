from pathlib import Path

import pytest

from deploy.embedded import StackError
from deploy.embedded.addresses import Addresses
from deploy.embedded.folders import Credentials, Folders
from deploy.embedded.stack import services_for
from gateway.settings import Settings, SettingsError

GIVEN = {
    "POSTGRES_DSN": "postgresql://me:secret@db.example/masks",
    "MINIO_ENDPOINT": "s3.example",
    "MINIO_ACCESS_KEY": "key",
    "MINIO_SECRET_KEY": "secret",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092",
}


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*GIVEN, "DATABASE_URL", "DB_USE_DATABASE", "MINIO_SECURE", "KAFKA_SECURITY_PROTOCOL"):
        monkeypatch.delenv(name, raising=False)


def addresses(home: Path) -> Addresses:
    return Addresses.of(Settings.from_environment(), home / "secrets.json")


def own(found: Addresses) -> tuple[bool, bool, bool]:
    return found.own_postgres, found.own_s3, found.own_kafka


def take(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_server_without_an_address_is_embedded_and_gets_one(tmp_path: Path) -> None:
    found = addresses(tmp_path)
    assert own(found) == (True, True, True)
    variables = found.environment()
    assert variables.keys() == GIVEN.keys()
    assert all(variables.values())
    assert variables["POSTGRES_DSN"].endswith("@127.0.0.1:5432/maskwright")
    assert variables["MINIO_ENDPOINT"] == "127.0.0.1:9000"


@pytest.mark.parametrize(
    ("names", "ours"),
    [
        (["POSTGRES_DSN"], (False, True, True)),
        (["MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"], (True, False, True)),
        (["MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"], (True, True, True)),
        (["KAFKA_BOOTSTRAP_SERVERS"], (True, True, False)),
        (list(GIVEN), (False, False, False)),
    ],
)
def test_given_addresses_are_used_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], ours: tuple[bool, bool, bool]
) -> None:
    take(monkeypatch, {name: GIVEN[name] for name in names})
    found = addresses(tmp_path)
    assert own(found) == ours
    assert {name: found.environment()[name] for name in names} == {name: GIVEN[name] for name in names}


def test_a_session_token_in_the_environment_is_not_used_for_the_embedded_s3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(monkeypatch, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "t"})
    found = addresses(tmp_path)
    assert "MINIO_SESSION_TOKEN" not in found.environment()
    take(monkeypatch, dict(found.environment()))
    assert Settings.from_environment().minio_session_token.get_secret_value() == ""


def test_the_session_token_of_an_outside_s3_reaches_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "t"}
    take(monkeypatch, {**keys, "MINIO_ENDPOINT": GIVEN["MINIO_ENDPOINT"]})
    take(monkeypatch, dict(addresses(tmp_path).environment()))
    assert Settings.from_environment().minio_session_token.get_secret_value() == "t"


def test_the_second_name_of_the_dsn_variable_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, {"DATABASE_URL": GIVEN["POSTGRES_DSN"]})
    found = addresses(tmp_path)
    assert not found.own_postgres
    assert found.environment()["POSTGRES_DSN"] == GIVEN["POSTGRES_DSN"]


def test_without_a_database_no_server_is_embedded_and_no_password_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(monkeypatch, {"DB_USE_DATABASE": "false"})
    found = addresses(tmp_path)
    assert own(found) == (False, False, False)
    assert found.environment() == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("beside", [{}, {"POSTGRES_DSN": GIVEN["POSTGRES_DSN"]}])
def test_our_own_addresses_in_the_environment_still_mean_the_embedded_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: dict[str, str]
) -> None:
    take(monkeypatch, beside)
    first = addresses(tmp_path)
    take(monkeypatch, dict(first.environment()))
    assert own(addresses(tmp_path)) == own(first)
    assert addresses(tmp_path).environment() == first.environment()


def test_a_shell_with_the_address_of_a_former_version_still_means_the_embedded_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = addresses(tmp_path)
    password = Credentials.kept(tmp_path / "secrets.json").postgres_password
    former = f"postgresql://maskwright:{password}@127.0.0.1:5432/postgres"
    take(monkeypatch, {**first.environment(), "POSTGRES_DSN": former})
    assert own(addresses(tmp_path)) == (True, True, True)
    assert addresses(tmp_path).environment() == first.environment()


def test_another_stacks_servers_on_our_default_ports_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = {"MINIO_ENDPOINT": "127.0.0.1:9000", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}
    take(monkeypatch, {**GIVEN, **local})
    assert own(addresses(tmp_path)) == (False, False, False)


@pytest.mark.parametrize(
    ("setting", "value", "needed"),
    [("MINIO_SECURE", "true", "MINIO_ENDPOINT"), ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "KAFKA_BOOTSTRAP_SERVERS")],
)
def test_settings_that_an_embedded_server_cannot_serve_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, needed: str
) -> None:
    take(monkeypatch, {setting: value})
    with pytest.raises(StackError, match=rf"{needed}.*{setting}"):
        addresses(tmp_path)
    take(monkeypatch, GIVEN)
    assert not any(own(addresses(tmp_path)))


def test_impossible_broker_settings_are_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, {**GIVEN, "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"})
    with pytest.raises(SettingsError, match="KAFKA_SASL_MECHANISM=SCRAM-SHA-256: nobody logs in with"):
        services_for(Settings.from_environment(), Folders(tmp_path))
