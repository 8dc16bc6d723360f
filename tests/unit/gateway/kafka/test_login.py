import base64

import pytest
from aiokafka.errors import AuthenticationFailedError

from gateway.kafka.connection import ClientCredentials, connection_arguments, login
from gateway.settings import Settings, SettingsError
from tests.kafka.parts import token_server
from tests.web import raw, reply, serving

OAUTH = {
    "kafka_oauth_token_url": "http://127.0.0.1/token",
    "kafka_oauth_client_id": "me",
    "kafka_oauth_client_secret": "s",
}


@pytest.mark.parametrize(
    ("protocol", "mechanism", "fields", "names"),
    [
        ("PLAINTEXT", "SCRAM-SHA-256", {}, ["KAFKA_SASL_MECHANISM=SCRAM-SHA-256: nobody logs in"]),
        ("SSL", "OAUTHBEARER", OAUTH, ["KAFKA_SASL_MECHANISM=OAUTHBEARER: nobody logs in"]),
        ("PLAINTEXT", "AWS_MSK_IAM", {}, ["KAFKA_SASL_MECHANISM=AWS_MSK_IAM: nobody logs in"]),
        ("SASL_SSL", "OAUTHBEARER", {}, [f"{name.upper()}=: needed" for name in OAUTH]),
        (
            "SASL_PLAINTEXT",
            "AWS_MSK_IAM",
            {},
            ["KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT: AWS_MSK_IAM takes SASL_SSL alone", "KAFKA_AWS_REGION=: needed"],
        ),
        ("SASL_SSL", "PLAIN", {"kafka_username": "u"}, ["KAFKA_PASSWORD=: needed"]),
    ],
)
def test_settings_that_cannot_work_together_are_refused(protocol, mechanism, fields, names):
    settings = Settings(
        kafka_bootstrap_servers="a:1",
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism=mechanism,
        kafka_aws_region="",
        **fields,
    )
    with pytest.raises(SettingsError) as caught:
        connection_arguments(settings)
    lines = str(caught.value).splitlines()
    for name in names:
        assert any(line.startswith(name) for line in lines), lines


@pytest.mark.parametrize("servers", ["a", "a:9092,b:9093", "[::1]:9092"])
def test_addresses_named_as_the_client_libraries_do_are_accepted(servers):
    assert connection_arguments(Settings(kafka_bootstrap_servers=servers))


async def test_a_token_is_asked_for_once_and_anew_before_it_ends():
    async with token_server() as server:
        settings = oauth(**server.settings())
        provider = ClientCredentials(settings)
        assert await provider.token() == await provider.token()
        assert server.forms == ["grant_type=client_credentials&scope=kafka"]
        server.life_s = 0
        short = ClientCredentials(settings)
        short._renew_at = 0.0
        await short.token()
        short._renew_at = 0.0
        await short.token()
        assert len(server.forms) == 3


async def test_a_wrong_secret_is_reported_in_the_servers_words():
    async with token_server() as server:
        provider = ClientCredentials(oauth(**server.settings("wrong")))
        with pytest.raises(AuthenticationFailedError, match="401 invalid_client wrong secret"):
            await provider.token()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(200, b"<html>"), "200, and no JSON object: <html>"),
        (reply(200, b'{"token": 1}'), "200"),
        (reply(503, b"{}"), "503"),
        (raw(b""), "Server disconnected"),
    ],
)
async def test_a_server_that_gives_no_token_is_named(answer, why):
    async with serving(answer) as web:
        provider = ClientCredentials(oauth(**OAUTH | {"kafka_oauth_token_url": web.url("/token")}))
        with pytest.raises(
            AuthenticationFailedError, match=f"no token from KAFKA_OAUTH_TOKEN_URL={web.url('/token')}: {why}"
        ):
            await provider.token()


async def test_a_refusal_shows_no_secret_of_the_url_and_no_raw_characters():
    async with serving(reply(200, b"a\x1b[2Jb")) as web:
        url = web.url("/token").replace("//", "//me:hidden@")
        provider = ClientCredentials(oauth(**OAUTH | {"kafka_oauth_token_url": url}))
        with pytest.raises(AuthenticationFailedError) as caught:
            await provider.token()
    assert "hidden" not in str(caught.value)
    assert "a\\x1b[2Jb" in str(caught.value)


async def test_a_signature_for_the_region_in_the_brokers_name(monkeypatch):
    pytest.importorskip("aws_msk_iam_sasl_signer")
    servers = "b-1.films.abc123.c2.kafka.eu-west-1.amazonaws.com:9098"
    settings = oauth(kafka_bootstrap_servers=servers, kafka_sasl_mechanism="AWS_MSK_IAM", kafka_aws_region="")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    token = await login(settings)["sasl_oauth_token_provider"].token()
    signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    assert signed.startswith("https://kafka.eu-west-1.amazonaws.com/")


def oauth(**fields: str) -> Settings:
    given = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER", **fields}
    return Settings(**{"kafka_bootstrap_servers": "a:1", **given})
