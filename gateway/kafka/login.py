"""How the workers log in to the broker: a password, a token of an OAuth server, or a signature by AWS."""

import asyncio
import re
import time
from collections.abc import Iterator
from importlib import import_module
from urllib.parse import quote

import httpx
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from gateway.kafka.tls import trusting
from gateway.proxies import proxy_for
from gateway.settings import Settings, SettingsError
from gateway.settings.fields import shown

_OAUTH, _AWS = "OAUTHBEARER", "AWS_MSK_IAM"
_NEEDED_BY_OAUTH = ("kafka_oauth_token_url", "kafka_oauth_client_id", "kafka_oauth_client_secret")
_NEEDED_BY_PASSWORDS = ("kafka_username", "kafka_password")
_TIMEOUT_S = 5.0
_LIFE_USED = 0.8
"""The share of its life after which a token is asked for anew."""
_LIFE_S = 300.0
"""Where the server does not say how long a token lives (RFC 6749 §5.1 only recommends it)."""
_SIGNER = "aws_msk_iam_sasl_signer.MSKAuthTokenProvider"
_SHOWN_CHARACTERS = 200


def login(settings: Settings) -> dict[str, object]:
    """Arguments of a client; none without SASL. Raises SettingsError, a line for each variable that does not fit."""
    complaints = list(_complaints(settings))
    if complaints:
        raise SettingsError("\n".join(complaints))
    if not settings.kafka_security_protocol.startswith("SASL"):
        return {}
    if settings.kafka_sasl_mechanism == _OAUTH:
        return {"sasl_mechanism": _OAUTH, "sasl_oauth_token_provider": ClientCredentials(settings)}
    if settings.kafka_sasl_mechanism == _AWS:
        return {"sasl_mechanism": _OAUTH, "sasl_oauth_token_provider": AwsSigner(_aws_region(settings))}
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password.get_secret_value(),
    }


def _complaints(settings: Settings) -> Iterator[str]:
    """What cannot work together."""
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    if not protocol.startswith("SASL"):
        if mechanism != "PLAIN":
            why = f"nobody logs in with KAFKA_SECURITY_PROTOCOL={protocol}; SASL_SSL and SASL_PLAINTEXT do"
            yield f"KAFKA_SASL_MECHANISM={mechanism}: {why}"
        return
    if mechanism == _AWS:
        yield from _aws_complaints(settings)
        return
    for name in _NEEDED_BY_OAUTH if mechanism == _OAUTH else _NEEDED_BY_PASSWORDS:
        value = getattr(settings, name)
        if not (value if isinstance(value, str) else value.get_secret_value()):
            with_what = f"KAFKA_SECURITY_PROTOCOL={protocol} and KAFKA_SASL_MECHANISM={mechanism}"
            yield f"{name.upper()}=: needed with {with_what}"


def _aws_complaints(settings: Settings) -> Iterator[str]:
    if settings.kafka_security_protocol != "SASL_SSL":
        yield f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}: AWS_MSK_IAM takes SASL_SSL alone"
    if not _aws_region(settings):
        yield "KAFKA_AWS_REGION=: needed with KAFKA_SASL_MECHANISM=AWS_MSK_IAM, as eu-west-1"
    try:
        import_module(_SIGNER)
    except ImportError:
        yield "KAFKA_SASL_MECHANISM=AWS_MSK_IAM: a package is missing; pip install 'maskwright[msk]'"


def _aws_region(settings: Settings) -> str:
    """As it is set, or as the broker's name says it: b-1.name.id.c2.kafka.REGION.amazonaws.com."""
    named = re.search(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com", settings.kafka_bootstrap_servers)
    return settings.kafka_aws_region or (named[1] if named else "")


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
    """Tokens by client credentials (RFC 6749 §4.4), kept until a fifth of their life is left."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.kafka_oauth_token_url
        self._context = trusting(settings.kafka_oauth_cafile, "KAFKA_OAUTH_CAFILE")
        self._asking = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    async def token(self) -> str:
        """For a new connection. Raises AuthenticationFailedError, which says what the server answered."""
        async with self._asking:
            if time.monotonic() >= self._renew_at:
                asked_at = time.monotonic()
                self._token, life_s = _token_of(await self._ask(), self._url)
                self._renew_at = asked_at + life_s * _LIFE_USED
            return self._token

    async def _ask(self) -> httpx.Response:
        settings = self._settings
        secret = settings.kafka_oauth_client_secret.get_secret_value()
        form = {"grant_type": "client_credentials"}
        if settings.kafka_oauth_scope:
            form["scope"] = settings.kafka_oauth_scope
        # The name and the secret are form-encoded before they are joined (RFC 6749 §2.3.1).
        who = httpx.BasicAuth(quote(settings.kafka_oauth_client_id, safe=""), quote(secret, safe=""))
        try:
            way = httpx.AsyncHTTPTransport(verify=self._context, proxy=proxy_for(httpx.URL(self._url)))
            async with httpx.AsyncClient(transport=way, timeout=_TIMEOUT_S) as client:
                return await client.post(self._url, data=form, auth=who, headers={"accept": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:
            raise _failure(self._url, str(error) or type(error).__name__) from error


class AwsSigner(AbstractTokenProvider):  # type: ignore[misc]
    """Signatures by AWS's own package, with the credentials that it finds: variables, files, roles."""

    def __init__(self, region: str) -> None:
        self._region = region

    async def token(self) -> str:
        """For a new connection. Raises AuthenticationFailedError."""
        try:
            token, _ = await asyncio.to_thread(import_module(_SIGNER).generate_auth_token, self._region)
        except Exception as error:
            raise AuthenticationFailedError(f"AWS_MSK_IAM: no signature can be made: {error}") from error
        return str(token)


def _token_of(answer: httpx.Response, url: str) -> tuple[str, float]:
    """The token, and how long it lives in seconds. Raises AuthenticationFailedError."""
    try:
        members = answer.json()
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise _failure(url, f"{answer.status_code}, and no JSON object: {answer.text[:_SHOWN_CHARACTERS]}")
    token, life_s = members.get("access_token"), members.get("expires_in")
    if not answer.is_success or not isinstance(token, str) or not token:
        told = (members.get(name) for name in ("error", "error_description"))
        raise _failure(url, f"{answer.status_code} {' '.join(str(one) for one in told if one)}".strip())
    return token, float(life_s) if isinstance(life_s, int | float) and life_s > 0 else _LIFE_S


def _failure(url: str, why: str) -> AuthenticationFailedError:
    return AuthenticationFailedError(f"no token from KAFKA_OAUTH_TOKEN_URL={shown(url)}: {shown(why)}")
