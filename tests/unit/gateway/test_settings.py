import pytest

from gateway.pipelines.registry import PIPELINES, build_registry
from gateway.settings import Settings, SettingsError, variable_names
from gateway.settings.settings import MASK_TYPES


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, field in Settings.model_fields.items():
        for variable in variable_names(name, field):
            monkeypatch.delenv(variable, raising=False)


def test_defaults_are_the_documented_ones() -> None:
    settings = Settings.from_environment()
    assert (settings.api_host, settings.api_port) == ("127.0.0.1", 8000)
    assert (settings.queue_max_size, settings.log_level) == (100, "INFO")
    assert settings.mask_types_default == MASK_TYPES
    assert settings.triton_grpc_url == "127.0.0.1:8001"


@pytest.mark.parametrize(("variable", "field"), [("API_PORT", "api_port"), ("PORT", "api_port")])
def test_either_name_of_a_variable_counts(monkeypatch: pytest.MonkeyPatch, variable: str, field: str) -> None:
    monkeypatch.setenv(variable, "8123")
    assert getattr(Settings.from_environment(), field) == 8123


def test_triton_address_follows_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_GRPC_PORT", "9001")
    assert Settings.from_environment().triton_grpc_url == "127.0.0.1:9001"


@pytest.mark.parametrize("driver", ["", "+psycopg2", "+asyncpg"])
@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_database_url_may_name_a_driver(monkeypatch: pytest.MonkeyPatch, scheme: str, driver: str) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}{driver}://me:p+a%3A@db:5432/faces")
    assert Settings.from_environment().postgres_dsn.get_secret_value() == f"{scheme}://me:p+a%3A@db:5432/faces"


def test_mask_types_come_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASK_TYPES_DEFAULT", "dress, upper_body,dress")
    settings = Settings.from_environment()
    assert settings.mask_types_default == ("dress", "upper_body")
    assert build_registry(settings)["body_masks"].defaults == {"mask_types": ("dress", "upper_body")}


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("API_PORT", "eighty", "integer"),
        ("PORT", "0", "greater than or equal to 1"),
        ("MASK_TYPES_DEFAULT", "hat", "'dress'"),
        ("QUEUE_MAX_SIZE", "-1", "greater than or equal to 1"),
        ("MAX_PIXELS", "1000", "greater than or equal to 1024"),
        ("LOG_LEVEL", "loud", "'WARNING'"),
        ("PROFILE", "big", "'lite'"),
        ("TRITON_GRPC_URL", "https://triton:8001", "such as triton:8001"),
        ("TRITON_GRPC_PORT", "x", "integer"),
    ],
)
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, right: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment()
    message = str(caught.value)
    assert message.startswith(f"{variable}={value}: ")
    assert right in message
    assert len(message.splitlines()) == 1


def test_only_the_pipelines_named_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(build_registry(Settings())) == [entry.name for entry in PIPELINES]
    monkeypatch.setenv("PIPELINES", "privacy_blur, detect")
    assert set(build_registry(Settings.from_environment())) == {"privacy_blur", "detect"}


def test_an_unknown_name_in_pipelines_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^PIPELINES=detect,hats: no 'hats'; use .*'privacy_blur'"):
        build_registry(Settings(pipelines=("detect", "hats")))


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_database_may_be_named_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment().postgres_dsn.get_secret_value() == ""
    parts = {"DB_HOST": "db", "DB_PASSWORD": "a/b@c", "DB_DATABASE": "faces", "SQLALCHEMY_POOL_SIZE": "7"}
    for variable, value in parts.items():
        monkeypatch.setenv(variable, value)
    settings = Settings.from_environment()
    assert settings.postgres_dsn.get_secret_value() == "postgresql://postgres:a%2Fb%40c@db:5432/faces"
    assert settings.postgres_pool_size == 7
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/faces")
    assert Settings.from_environment().postgres_dsn.get_secret_value() == "postgresql://elsewhere/faces"


def test_a_bad_part_of_the_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_HOST", "db")
    monkeypatch.setenv("DB_PORT", "x")
    with pytest.raises(SettingsError, match=r"^DB_PORT=x: "):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("said", "level"), [("silent", "CRITICAL"), ("http", "INFO"), ("30", "WARNING"), ("Warn", "WARNING")]
)
def test_another_loggers_level_name_maps_to_our_nearest_level(
    monkeypatch: pytest.MonkeyPatch, said: str, level: str
) -> None:
    monkeypatch.setenv("LOG_LEVEL", said)
    monkeypatch.setenv("LOG_FORMAT", "Pretty")
    settings = Settings.from_environment()
    assert (settings.log_level, settings.log_format) == (level, "console")


@pytest.mark.parametrize(
    ("variables", "place", "secure"),
    [
        ({"MINIO_ENDPOINT": "https://id.r2.cloudflarestorage.com"}, "id.r2.cloudflarestorage.com", True),
        ({"MINIO_ENDPOINT": "HTTP://garage:3900/"}, "garage:3900", False),
        ({"MINIO_ENDPOINT": "https://[fd00::1]:9000"}, "[fd00::1]:9000", True),
        ({"MINIO_ENDPOINT": "http://ceph:7480", "MINIO_SECURE": "true"}, "ceph:7480", True),
        ({"MINIO_ENDPOINT": "s3.example.com"}, "s3.example.com", False),
    ],
)
def test_an_s3_servers_url_says_whether_it_speaks_tls(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    place: str,
    secure: bool,  # noqa: FBT001
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    assert (settings.minio_endpoint, settings.minio_secure) == (place, secure)


@pytest.mark.parametrize(
    "endpoint", ["https://s3.example.com/bucket", "tcp://10.0.0.1:9000", "https://key:s3cret@s3.example.com"]
)
def test_an_s3_url_with_a_path_or_a_login_is_refused_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("MINIO_ENDPOINT", endpoint)
    with pytest.raises(SettingsError, match="without a path, would be right") as caught:
        Settings.from_environment()
    assert "s3cret" not in str(caught.value)


def test_the_variable_that_really_names_the_database_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_DSN", "")
    monkeypatch.setenv("Database_Url", "postgres://u:p@h/db")
    assert Settings.from_environment().postgres_variable == "Database_Url"
