"""Addresses in every form that people and hosters write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import Settings, SettingsError
from gateway.settings.environment import read_environment

PLACES = {
    "MINIO_ENDPOINT": "minio_endpoint",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka_bootstrap_servers",
    "TRITON_GRPC_URL": "triton_grpc_url",
    "TRITON_URL": "triton_grpc_url",
    "DB_HOST": "db_host",
}
SCHEMES = {"MINIO_ENDPOINT": "http", "KAFKA_BOOTSTRAP_SERVERS": "PLAINTEXT", "DB_HOST": "tcp"}


@pytest.fixture
def said(monkeypatch):
    for variable in ("MINIO_SECURE", "KAFKA_SECURITY_PROTOCOL", *PLACES):
        monkeypatch.delenv(variable, raising=False)

    def settings(**variables: str) -> Settings:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        return Settings.from_environment()

    return settings


@pytest.mark.parametrize("variable", PLACES)
@pytest.mark.parametrize(
    "written",
    ["{0}", "{1}://{0}", "{1}://{0}/", "{0}/", ' "{1}://{0}"\r\n', "“{0}”", "export {2}={0}", "{2}='{0}'  # x"],
)
def test_an_address_is_the_same_however_it_is_written(said, variable, written):
    text = written.format("node-1.example:9000", SCHEMES.get(variable, "grpc"), variable)
    assert getattr(said(**{variable: text}), PLACES[variable]) == "node-1.example:9000"


@pytest.mark.parametrize(
    ("servers", "bare", "protocol"),
    [
        ("PLAINTEXT://a:9092", "a:9092", "PLAINTEXT"),
        ("SASL_SSL://a:9092,SASL_SSL://b:9093/", "a:9092,b:9093", "SASL_SSL"),
        ("ssl://a:9092, b:9092", "a:9092,b:9092", "SSL"),
        ("kafka+ssl://a:9096,kafka+ssl://b:9096", "a:9096,b:9096", "SSL"),
        ("kafka://[fe80::1%eth0]:9092", "[fe80::1%eth0]:9092", "PLAINTEXT"),
        ('"a:9092","b:9092"', "a:9092,b:9092", "PLAINTEXT"),
        ("'a:9092', 'b:9092'", "a:9092,b:9092", "PLAINTEXT"),
    ],
)
def test_the_scheme_of_a_kafka_address_sets_the_protocol(said, servers, bare, protocol):
    settings = said(KAFKA_BOOTSTRAP_SERVERS=servers)
    assert settings.kafka_bootstrap_servers.replace(" ", "") == bare
    assert settings.kafka_security_protocol == protocol


def test_a_setting_has_precedence_over_a_scheme_and_a_line_says_so(said):
    given = {"KAFKA_BOOTSTRAP_SERVERS": "PLAINTEXT://a:9092", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
    assert said(**given).kafka_security_protocol == "SASL_SSL"
    [line] = read_environment(Settings.model_fields, given).remarks
    assert line == (
        "KAFKA_BOOTSTRAP_SERVERS says KAFKA_SECURITY_PROTOCOL=PLAINTEXT, but KAFKA_SECURITY_PROTOCOL=SASL_SSL counts"
    )


@pytest.mark.parametrize(
    ("variable", "value", "wrong"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "INTERNAL://a:9092", "such a scheme has no place"),
        ("KAFKA_BOOTSTRAP_SERVERS", "SSL://a:9092,PLAINTEXT://b:9092", "such a scheme has no place"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:9092/kafka", "a path has no place"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:9092;b:9092", "more than one address"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:9092 b:9092", "more than one address"),
        ("KAFKA_BOOTSTRAP_SERVERS", "fe80::1:9092", "in brackets"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:", "a number from 1 to 65535"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:99999", "a number from 1 to 65535"),
        ("KAFKA_BOOTSTRAP_SERVERS", ":9092", "names no host"),
        ("KAFKA_BOOTSTRAP_SERVERS", "user:s3cret@a:9092", "a login has no place"),
        ("MINIO_ENDPOINT", "https://minio.example/minio", "a path has no place"),
        ("MINIO_ENDPOINT", "minio.example/minio", "a path has no place"),
        ("MINIO_ENDPOINT", "s3://masks", "such a scheme has no place"),
        ("MINIO_ENDPOINT", "https://user:s3cret@minio:9000", "a login has no place"),
        ("MINIO_ENDPOINT", "user:s3cret@minio:9000", "a login has no place"),
        ("TRITON_GRPC_URL", "https://triton:8001", "such a scheme has no place"),
        ("TRITON_GRPC_URL", "grpc://triton:8001/v2", "a path has no place"),
        ("TRITON_URL", "triton", "names no port"),
        ("TRITON_URL", "::1:8001", "in brackets"),
        ("DB_HOST", "postgresql://me:s3cret@db/faces", "POSTGRES_DSN takes a whole address"),
        ("DB_HOST", "db/faces", "DB_DATABASE names the database"),
        ("MASK_ASSET_URL", "assets.example.com", "with http:// or https:// before it"),
        ("KAFKA_OAUTH_TOKEN_URL", "login.example/token", "with http:// or https:// before it"),
    ],
)
def test_a_wrong_address_is_refused_with_the_fault_and_without_its_password(said, variable, value, wrong):
    with pytest.raises(SettingsError) as caught:
        said(**{variable: value})
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{variable}=")
    assert wrong in line
    assert "would be right" in line or "takes a whole address" in line
    assert "s3cret" not in line


@pytest.mark.parametrize("name", ["export API_PORT", "\ufeffAPI_PORT", " api_port ", "export  API_PORT"])
def test_leftovers_of_an_env_file_before_a_name_are_ignored(name):
    given = read_environment(Settings.model_fields, {name: '"8123"\r'}).given
    assert given["api_port"].value == "8123"


@given(st.sampled_from(sorted(PLACES)), st.text(st.sampled_from("ab1:/[].,@ ;%-_"), max_size=20))
def test_any_address_is_taken_or_refused_by_its_name(variable, text):
    given = read_environment(Settings.model_fields, {variable: text}).given
    try:
        Settings.model_validate({name: one.value for name, one in given.items()})
    except ValueError as error:
        said = str(error)
    else:
        said = variable
    assert PLACES[variable] in said or variable in said
