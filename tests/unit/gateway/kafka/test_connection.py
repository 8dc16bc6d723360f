import ssl

import pytest

from gateway.kafka.connection import connection_arguments
from gateway.settings import Settings, SettingsError

LOGIN = {"kafka_username": "u", "kafka_password": "p"}


def arguments(**fields):
    return connection_arguments(Settings(**{"kafka_bootstrap_servers": "a:1, b:2,", **fields}))


def test_every_server_is_named():
    assert arguments()["bootstrap_servers"] == ["a:1", "b:2"]


def test_a_plain_connection_has_neither_login_nor_tls():
    given = arguments(**LOGIN)
    assert given["security_protocol"] == "PLAINTEXT"
    assert not given.keys() & {"ssl_context", "sasl_mechanism", "sasl_plain_username"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "scram-sha-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_login(protocol, mechanism):
    given = arguments(kafka_security_protocol=protocol, kafka_sasl_mechanism=mechanism, **LOGIN)
    assert given["sasl_mechanism"] == mechanism.upper()
    assert (given["sasl_plain_username"], given["sasl_plain_password"]) == ("u", "p")
    assert ("ssl_context" in given) == (protocol == "SASL_SSL")


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_tls_checks_the_brokers_name(protocol):
    context = arguments(kafka_security_protocol=protocol, **LOGIN)["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("fields", "variables"),
    [
        ({"kafka_bootstrap_servers": " , "}, ["KAFKA_BOOTSTRAP_SERVERS"]),
        ({"kafka_security_protocol": "SASL_SSL"}, ["KAFKA_USERNAME", "KAFKA_PASSWORD"]),
        ({"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_username": "u"}, ["KAFKA_PASSWORD"]),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_cafile": "/nowhere.pem"}, ["KAFKA_SSL_CAFILE=/nowhere.pem"]),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_cafile": __file__}, ["KAFKA_SSL_CAFILE"]),
    ],
)
def test_kafka_settings_that_do_not_fit_are_named(fields, variables):
    with pytest.raises(SettingsError) as caught:
        arguments(**fields)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(variables)
    assert all(line.startswith(variable) for line, variable in zip(lines, variables, strict=True))
