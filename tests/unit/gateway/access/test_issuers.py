"""Tokens in the shapes of common issuers, signed with the tests' own keys."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256K1,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import get_default_algorithms

from gateway.access.tokens import JwksUrl, Tokens
from gateway.errors import Problem
from gateway.settings import Settings, SettingsError
from tests.integration.gateway.access.credentials import AUDIENCE, ISSUER, SECRET, claims, forged, token
from tests.web import Answer, Asked, Web, reply, serving, silence

PRIVATE = {
    "RS256": generate_rsa(65537, 2048),
    "ES256": generate_private_key(SECP256R1()),
    "ES384": generate_private_key(SECP384R1()),
    "ES512": generate_private_key(SECP521R1()),
    "EdDSA": Ed25519PrivateKey.generate(),
}


def public(algorithm: str, **members: object) -> dict[str, object]:
    """A key as an issuer shows it; a member of None is left out."""
    made = get_default_algorithms()[algorithm].to_jwk(PRIVATE[algorithm].public_key(), as_dict=True)
    made.pop("key_ops", None)
    shown = {**made, "kid": algorithm, "use": "sig", "alg": algorithm, **members}
    return {name: value for name, value in shown.items() if value is not None}


def write(path: Path, *keys: object) -> Path:
    path.write_text(json.dumps({"keys": keys}))
    return path


def signed(said: Mapping[str, object], algorithm: str = "RS256", kid: str | None = "RS256", **header: object) -> str:
    key = PRIVATE["RS256" if algorithm.startswith(("RS", "PS")) else algorithm]
    return jwt.encode(dict(said), key, algorithm, {**header, **({"kid": kid} if kid else {})})


def code(tokens: Tokens, token: str) -> str:
    try:
        tokens.caller(token)
    except Problem as problem:
        return problem.code
    return "let in"


NOW = int(time.time())
TIMES = {"iat": NOW, "exp": NOW + 86_400}


@dataclass(frozen=True)
class Issuer:
    """What one signs, what the gateway is told, and who then comes."""

    claims: Mapping[str, object]
    settings: Mapping[str, object]
    caller: str
    tenant: str
    scopes: Sequence[str]


ISSUERS = {
    "Auth0": Issuer(
        {
            **TIMES, "iss": "https://acme.eu.auth0.com/", "sub": "5f7c8ec7c33c6c004bbafe82@clients", "azp": "5f7c",
            "aud": [AUDIENCE, "https://acme.eu.auth0.com/userinfo"], "scope": "openid run:body_masks",
            "gty": "client-credentials", "permissions": ["run:body_masks", "jobs:read"],
            "https://acme.com/tenant": "acme",
        },
        {"jwt_issuer": "https://acme.eu.auth0.com/", "jwt_tenant_claim": "https://acme.com/tenant",
         "jwt_scopes_claim": "permissions"},
        "token:5f7c8ec7c33c6c004bbafe82@clients", "acme", ["jobs:read", "run:body_masks"],
    ),
    "Okta": Issuer(
        {
            **TIMES, "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "cid": "nmdP1fcyvdVO11AL7ECm",
            "iss": "https://acme.okta.com/oauth2/default", "aud": AUDIENCE, "uid": "00ujmkLgagxeRrAg20g3",
            "scp": ["openid", "jobs:read", "run:*"], "sub": "alice@acme.com", "tenant": "acme",
        },
        {"jwt_issuer": "https://acme.okta.com/oauth2/default"},
        "token:alice@acme.com", "acme", ["jobs:read", "run:*"],
    ),
    "Entra ID, of a user": Issuer(
        {
            **TIMES, "nbf": NOW + 5, "aud": AUDIENCE, "ver": "2.0", "azp": "c1", "oid": "o", "uti": "u", "rh": "0.A",
            "iss": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
            "tid": "9188040d-6c67-4c5b-b112-36a304b66dad", "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
            "scp": "jobs:read run:detect",
        },
        {"jwt_issuer": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
         "jwt_tenant_claim": "tid", "jwt_scopes_claim": "scp,roles"},
        "token:AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "9188040d-6c67-4c5b-b112-36a304b66dad",
        ["jobs:read", "run:detect"],
    ),
    "Entra ID, of a program": Issuer(
        {
            **TIMES, "nbf": NOW, "aud": AUDIENCE, "ver": "1.0", "appid": "a", "appidacr": "1", "idp": "i", "oid": "o",
            "iss": "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/", "roles": ["run:*"], "sub": "o",
            "tid": "9188040d-6c67-4c5b-b112-36a304b66dad",
        },
        {"jwt_issuer": "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/", "jwt_tenant_claim": "tid",
         "jwt_scopes_claim": "scp,roles"},
        "token:o", "9188040d-6c67-4c5b-b112-36a304b66dad", ["run:*"],
    ),
    "Keycloak": Issuer(
        {
            **TIMES, "auth_time": NOW, "jti": "onrtac:9a", "iss": "https://sso.acme.com/realms/acme",
            "aud": [AUDIENCE, "account"], "sub": "f9a3c1e2", "typ": "Bearer", "azp": "shop", "acr": "1",
            "realm_access": {"roles": ["offline_access", "operate"]}, "scope": "openid email", "tenant": "acme",
            "resource_access": {"maskwright": {"roles": ["run:*", "jobs:*"]}},
        },
        {"jwt_issuer": "https://sso.acme.com/realms/acme",
         "jwt_scopes_claim": "realm_access.roles,resource_access.maskwright.roles"},
        "token:f9a3c1e2", "acme", ["jobs:*", "operate", "run:*"],
    ),
    "Amazon Cognito": Issuer(
        {
            **TIMES, "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "token_use": "access", "client_id": AUDIENCE,
            "scope": "aws.cognito.signin.user.admin maskwright/run:* maskwright/jobs:read", "version": 2,
            "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example", "username": "alice",
        },
        {"jwt_issuer": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example", "jwt_default_tenant": "acme",
         "jwt_scopes_prefix": "maskwright/"},
        "token:aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "acme", ["jobs:read", "run:*"],
    ),
    "Google": Issuer(
        {
            **TIMES, "iss": "https://accounts.google.com", "azp": AUDIENCE, "aud": AUDIENCE, "hd": "acme.com",
            "sub": "10769150350006150715113082367", "email": "alice@acme.com", "email_verified": True, "at_hash": "H",
        },
        {"jwt_issuer": "https://accounts.google.com", "jwt_required_claims": "hd=acme.com,email_verified=true",
         "jwt_default_tenant": "acme", "jwt_default_scopes": "run:*,jobs:*"},
        "token:10769150350006150715113082367", "acme", ["jobs:*", "run:*"],
    ),
    "GitHub Actions": Issuer(
        {
            **TIMES, "nbf": NOW - 60, "jti": "example-id", "aud": AUDIENCE, "ref": "refs/heads/main", "run_id": "1",
            "sub": "repo:acme/shop:environment:production-of-the-shop-that-has-a-rather-long-name:ref:refs/heads/main",
            "iss": "https://token.actions.githubusercontent.com", "repository": "acme/shop", "repository_owner": "acme",
        },
        {"jwt_issuer": "https://token.actions.githubusercontent.com", "jwt_required_claims": "repository_owner=acme",
         "jwt_tenant_claim": "repository_owner", "jwt_default_scopes": "run:*"},
        "token:repo:acme/shop:environment:production-of-the-shop-that-has-a-rather-long-name:ref:refs/heads/main",
        "acme", ["run:*"],
    ),
}  # fmt: skip
"""After each issuer's own documentation of its tokens."""


@pytest.mark.parametrize("name", ISSUERS)
def test_a_token_of_an_issuer_names_its_caller(tmp_path: Path, name: str) -> None:
    issuer, keys = ISSUERS[name], write(tmp_path / "jwks.json", public("RS256"), public("ES256"))
    settings = Settings.model_validate({"jwt_audience": AUDIENCE, "jwt_jwks_file": keys, **issuer.settings})
    tokens = Tokens(settings)
    caller = tokens.caller(signed(issuer.claims, typ="at+jwt"))
    assert (caller.name, caller.tenant, sorted(caller.scopes)) == (issuer.caller, issuer.tenant, list(issuer.scopes))
    others = {"iss": "https://others.example.com", "exp": NOW - 60, "aud": "others", "client_id": "others", "sub": None}
    for claim, value in others.items():
        changed = {**issuer.claims, claim: value}
        decisive = claim != "client_id" or "aud" not in issuer.claims
        if decisive:
            assert code(tokens, signed({key: item for key, item in changed.items() if item is not None})) != "let in"


@pytest.mark.parametrize("claim", ["hd", "email_verified", "repository_owner"])
def test_a_token_without_a_required_claim_is_refused(tmp_path: Path, claim: str) -> None:
    issuer = next(issuer for issuer in ISSUERS.values() if claim in str(issuer.settings.get("jwt_required_claims")))
    keys = write(tmp_path / "jwks.json", public("RS256"))
    tokens = Tokens(Settings.model_validate({"jwt_audience": AUDIENCE, "jwt_jwks_file": keys, **issuer.settings}))
    for value in ("evil.example", "", None, ["evil"], {"acme": 1}):
        assert code(tokens, signed({**issuer.claims, claim: value})) == "token_invalid"


@pytest.mark.parametrize(
    ("wanted", "claim", "outcome"),
    [
        ("true", True, "let in"), ("true", "true", "let in"), ("True", True, "token_invalid"),
        ("false", False, "let in"), ("false", 0, "token_invalid"), ("0", False, "token_invalid"),
        ("7", 7, "let in"), ("7", "7", "let in"), ("7", [6, 7], "let in"), ("1.5", 1.5, "let in"),
        ("acme", ["x", "acme"], "let in"), ("acme", '"acme"', "token_invalid"), ('"acme"', "acme", "token_invalid"),
        ("None", None, "token_invalid"), ("null", None, "token_invalid"), ("None", [None], "token_invalid"),
        ("null", [None], "token_invalid"), ("[]", [], "token_invalid"), ("None", {}, "token_invalid"),
    ],
)  # fmt: skip
def test_a_required_claim_is_compared_in_its_json_form(
    tmp_path: Path, wanted: str, claim: object, outcome: str
) -> None:
    tokens = tokens_with(write(tmp_path / "jwks.json", public("RS256")), jwt_required_claims=f"one={wanted}")
    assert code(tokens, signed({**claims(), "one": claim})) == outcome
    assert code(tokens, signed(claims())) == "token_invalid"


@pytest.mark.parametrize(
    ("sub", "name"), [(42, "token:42"), ("a|b", "token:a|b"), (0, "token:0"), ("x" * 255, "token:" + "x" * 255)]
)
def test_a_subject_may_be_a_number(tmp_path: Path, sub: object, name: str) -> None:
    tokens = tokens_with(write(tmp_path / "jwks.json", public("RS256")))
    for jti in (None, 7, ["x"], "x"):
        assert tokens.caller(signed(claims(sub=sub, jti=jti))).name == name


@pytest.mark.parametrize("sub", [True, 1.5, [], {}, "", "x" * 256, "a\nb"])
def test_a_token_without_a_usable_subject_is_refused(tmp_path: Path, sub: object) -> None:
    assert code(tokens_with(write(tmp_path / "jwks.json", public("RS256"))), signed(claims(sub=sub))) == "token_invalid"


def tokens_with(keys: Path, **settings: object) -> Tokens:
    said = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks_file": keys, **settings}
    return Tokens(Settings.model_validate(said))


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
@pytest.mark.parametrize("kid", ["key", None])
def test_a_key_is_used_with_the_algorithms_of_its_kind(tmp_path: Path, algorithm: str, kid: str | None) -> None:
    kind = "RS256" if algorithm.startswith(("RS", "PS")) else algorithm
    keys = [public(name, kid=kid and f"{kid}-{name}", alg=None, use=None) for name in PRIVATE]
    tokens = tokens_with(write(tmp_path / "jwks.json", *keys))
    assert code(tokens, signed(claims(), algorithm, kid and f"{kid}-{kind}")) == "let in"
    assert code(tokens, signed(claims(), algorithm, None)) == "let in"


def test_a_key_that_names_its_algorithm_is_used_with_no_other(tmp_path: Path) -> None:
    tokens = tokens_with(write(tmp_path / "jwks.json", public("RS256", alg="PS256"), public("EdDSA", alg="Ed25519")))
    assert code(tokens, signed(claims(), "PS256")) == "let in"
    assert code(tokens, signed(claims(), "RS256")) == "token_invalid"
    assert code(tokens, signed(claims(), "EdDSA", "EdDSA")) == "let in"


def test_all_keys_without_a_name_are_tried(tmp_path: Path) -> None:
    others = [
        get_default_algorithms()["RS256"].to_jwk(generate_rsa(65537, 2048).public_key(), as_dict=True) for _ in range(3)
    ]
    tokens = tokens_with(
        write(tmp_path / "jwks.json", *others, public("RS256", kid=None), public("RS256", kid="other"))
    )
    for kid in ("RS256", None):
        assert code(tokens, signed(claims(), kid=kid)) == "let in"
    alone = tokens_with(write(tmp_path / "jwks.json", *others, public("RS256", kid="other")))
    assert code(alone, signed(claims(), kid="RS256")) == "token_invalid"


def test_the_issuers_clock_may_be_off_by_some_seconds(tmp_path: Path) -> None:
    tokens = tokens_with(write(tmp_path / "jwks.json", public("RS256")))
    now = time.time()
    for claim in ("nbf", "iat"):
        assert code(tokens, signed(claims(**{claim: now + 8}))) == "let in"
        assert code(tokens, signed(claims(**{claim: now + 60}))) == "token_invalid"
    assert code(tokens, signed(claims(exp=now - 8))) == "let in"
    assert code(tokens, signed(claims(exp=now - 12))) == "token_expired"


@pytest.mark.parametrize(
    ("setting", "said", "scopes"),
    [
        ("scope", {"scope": "run:* x"}, ["run:*"]),
        ("scp", {"scp": "run:* jobs:read"}, ["jobs:read", "run:*"]),
        ("scp", {"scp": ["run:*", 7, None]}, ["run:*"]),
        ("a.b.c", {"a": {"b": {"c": ["operate"]}}}, ["operate"]),
        ("a.b.c", {"a": {"b": 7}}, []),
        ("a.b", {"a.b": "operate", "a": {"b": "run:*"}}, ["operate"]),
        ("permissions", {"permissions": {"run:*": True}}, []),
        ("permissions", {"scope": "operate"}, []),
    ],
)
def test_scopes_are_in_the_claim_that_the_setting_names(
    tmp_path: Path, setting: str, said: dict[str, object], scopes: list[str]
) -> None:
    tokens = tokens_with(write(tmp_path / "jwks.json", public("RS256")), jwt_scopes_claim=setting)
    assert sorted(tokens.caller(signed({**claims(scope=()), "scope": None, **said})).scopes) == scopes


def test_scopes_by_default_are_for_tokens_without_the_claim(tmp_path: Path) -> None:
    tokens = tokens_with(write(tmp_path / "jwks.json", public("RS256")), jwt_default_scopes="run:*")
    without = {name: value for name, value in claims().items() if name != "scope"}
    assert set(tokens.caller(signed(without)).scopes) == {"run:*"}
    assert set(tokens.caller(signed(claims(scope=()))).scopes) == set()


def test_a_token_on_an_unsupported_curve_is_refused(tmp_path: Path) -> None:
    key = generate_private_key(SECP256K1())
    shown = {**get_default_algorithms()["ES256"].to_jwk(key.public_key(), as_dict=True), "kid": "k"}
    tokens = tokens_with(write(tmp_path / "jwks.json", shown, public("ES256")))
    assert code(tokens, jwt.encode(claims(), key, "ES256K", {"kid": "k"})) == "token_invalid"


def fetched(web: Web, **settings: object) -> Tokens:
    """Tokens whose keys are at a server's address."""
    said = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks_url": web.url("/jwks"), **settings}
    return Tokens(Settings.model_validate(said))


async def found(tokens: Tokens, token: str) -> str:
    try:
        await tokens.find(token)
    except Problem as problem:
        return problem.code
    return "let in"


def later(tokens: Tokens, seconds: float) -> None:
    """As if the keys were fetched as long ago."""
    for keys in tokens._urls:
        keys._asked_at -= seconds
        keys._read_at -= seconds


async def test_an_issuers_keys_are_fetched_again_for_a_new_key_but_not_for_each_unknown_one() -> None:
    shown = [public("RS256")]

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await reply(200, json.dumps({"keys": shown}).encode())(asked, writer)

    async with serving(answer) as web:
        tokens = fetched(web)
        together = await asyncio.gather(*(found(tokens, signed(claims())) for _ in range(3)))
        assert together == ["let in"] * 3
        unknown = [await found(tokens, signed(claims(), kid=f"unknown-{number}")) for number in range(50)]
        assert (set(unknown), len(web.asked)) == ({"token_invalid"}, 1)
        shown[:] = [public("ES256")]
        later(tokens, 60)
        for wrong in (signed(claims(exp=1)), signed(claims(aud="x")), forged({"alg": "none"}), token()):
            assert (await found(tokens, wrong)).startswith("token_")
        assert len(web.asked) == 1
        assert await found(tokens, signed(claims(), "ES256", "ES256")) == "let in"
        assert len(web.asked) == 2


@pytest.mark.parametrize(
    "answer", [reply(500), reply(200, b"{}"), reply(200, b'{"keys": []}'), reply(302, Location="/")]
)
async def test_an_issuer_without_keys_is_reported(answer: Answer) -> None:
    async with serving(answer) as web:
        assert await found(fetched(web), signed(claims())) == "keys_unavailable"


async def test_tokens_of_other_keys_do_not_wait_for_an_issuer_that_is_away(tmp_path: Path) -> None:
    for kid in ("RS256", None):
        file = write(tmp_path / "jwks.json", public("RS256", kid=kid))
        async with serving(silence) as web:
            tokens = fetched(web, jwt_secret=SECRET, jwt_jwks_file=file)
            for good in (token(), signed(claims())):
                assert await asyncio.wait_for(found(tokens, good), 5) == "let in"
            forgery = jwt.encode(claims(), SECRET * 2, "HS256")
            for bad, why in ((signed(claims(exp=1)), "token_expired"), (forgery, "token_invalid")):
                assert await asyncio.wait_for(found(tokens, bad), 5) == why
            assert web.connections == 0


async def test_a_file_key_without_an_id_does_not_shut_out_issuers(tmp_path: Path) -> None:
    other = get_default_algorithms()["RS256"].to_jwk(generate_rsa(65537, 2048).public_key(), as_dict=True)
    async with serving(reply(200, json.dumps({"keys": [public("RS256")]}).encode())) as web:
        tokens = fetched(web, jwt_jwks_file=write(tmp_path / "jwks.json", other))
        assert await found(tokens, signed(claims())) == "let in"


async def test_old_keys_serve_while_newer_ones_are_fetched() -> None:
    answers = iter([reply(200, json.dumps({"keys": [public("RS256")]}).encode())])

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await next(answers, silence)(asked, writer)

    async with serving(answer) as web:
        tokens = fetched(web)
        assert await found(tokens, signed(claims())) == "let in"
        later(tokens, 3601)
        waiting = (found(tokens, signed(claims())) for _ in range(50))
        assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == ["let in"] * 50
        async with asyncio.timeout(5):
            while web.connections < 2:
                await asyncio.sleep(0)
        assert await asyncio.wait_for(found(tokens, signed(claims())), 5) == "let in"
        assert web.connections == 2


@pytest.mark.parametrize(
    "url", ["https://xn--a/", "https://①.test/", "https://a:+443/", "https://u:p@a/", "https://\t/"]
)
def test_an_invalid_issuer_address_stops_the_start_and_is_not_shown(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^JWT_JWKS_URL=…: ") as caught:
        JwksUrl(url)
    assert "u:p" not in str(caught.value)
