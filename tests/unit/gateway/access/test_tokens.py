import json
import os
from pathlib import Path

import pytest

from gateway.access.tokens import Tokens
from gateway.errors import Problem
from gateway.settings import Settings, SettingsError
from tests.integration.gateway.access.credentials import AUDIENCE, ISSUER, SECRET, Signer, claims, forged, token

GOOD = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.new()


def touch(path: Path) -> None:
    """A change that any file system's clock shows."""
    os.utime(path, ns=(path.stat().st_mtime_ns + 10**9,) * 2)


def refused(tokens: Tokens, text: str) -> str:
    with pytest.raises(Problem) as caught:
        tokens.caller(text)
    return caught.value.code


def test_a_token_names_its_caller_tenant_and_scopes() -> None:
    tokens = Tokens(Settings(**GOOD, jwt_secret=SECRET))
    caller = tokens.caller(token(sub="alice", tenant="acme", scope=["jobs:read", "email", "run:body_masks"]))
    assert (caller.name, caller.tenant, set(caller.scopes)) == ("token:alice", "acme", {"jobs:read", "run:body_masks"})
    assert set(tokens.caller(token(scope=())).scopes) == set()


def test_the_tenants_claim_has_the_name_that_the_issuer_gives_it() -> None:
    tokens = Tokens(Settings(**GOOD, jwt_secret=SECRET, jwt_tenant_claim="tid"))
    assert tokens.caller(token(tid="globex", tenant="acme")).tenant == "globex"
    assert refused(tokens, token(tenant="acme")) == "token_invalid"


def test_tokens_of_a_kind_that_is_not_set_up_are_refused(signer: Signer, tmp_path: Path) -> None:
    neither, secret = Tokens(Settings()), Tokens(Settings(**GOOD, jwt_secret=SECRET))
    file = Tokens(Settings(**GOOD, jwt_jwks_file=signer.write(tmp_path / "jwks.json")))
    for tokens, text in ((neither, token()), (neither, signer.token()), (secret, signer.token()), (file, token())):
        assert refused(tokens, text) == "token_invalid"
    assert file.caller(signer.token()).tenant == secret.caller(token()).tenant == "acme"


def test_keys_may_change_while_the_gateway_runs(signer: Signer, tmp_path: Path) -> None:
    path, other = signer.write(tmp_path / "jwks.json"), Signer.new()
    tokens = Tokens(Settings(**GOOD, jwt_jwks_file=path))
    assert refused(tokens, other.token(key_id="new")) == "token_invalid"
    touch(other.write(path, "new"))
    assert tokens.caller(other.token(key_id="new")).tenant == "acme"
    assert refused(tokens, signer.token()) == "token_invalid"
    path.write_text("{")
    touch(path)
    assert tokens.caller(other.token(key_id="new")).tenant == "acme"


def test_only_public_keys_for_signatures_are_taken(signer: Signer, tmp_path: Path) -> None:
    path = signer.write(tmp_path / "jwks.json")
    (public,) = json.loads(path.read_text())["keys"]
    for changes in (
        {"use": "enc"}, {"alg": "RSA-OAEP"}, {"alg": "HS256"}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "AKP"},
        {"key_ops": ["encrypt"]}, {"n": "?"}, {"n": 1},
        {"kty": "EC", "crv": "secp256k1"}, {"kty": "EC", "crv": ["P-256"]},
    ):  # fmt: skip
        path.write_text(json.dumps({"keys": [{**public, **changes}]}))
        with pytest.raises(SettingsError, match=r"^JWT_JWKS_FILE="):
            Tokens(Settings(**GOOD, jwt_jwks_file=path))
    others = [{"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}, {"kty": "new", "kid": 1}, 7, {}, {**public, "use": "enc"}]
    path.write_text(json.dumps({"keys": [*others, public], "more": 1}))
    tokens = Tokens(Settings(**GOOD, jwt_jwks_file=path))
    assert tokens.caller(signer.token()).tenant == "acme"
    assert refused(tokens, signer.token(key_id="oct")) == "token_invalid"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": []}', '{"keys": 1}', '{"keys": [1]}'])
def test_a_file_without_keys_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"^JWT_JWKS_FILE="):
        Tokens(Settings(**GOOD, jwt_jwks_file=path))
    with pytest.raises(SettingsError, match=r"^JWT_JWKS_FILE="):
        Tokens(Settings(**GOOD, jwt_jwks_file=tmp_path / "nothing.json"))


@pytest.mark.parametrize("changes", [{"kid": {}}, {"alg": ["RS256"]}, {"use": []}])
def test_an_issuers_file_without_valid_keys_changes_nothing(
    signer: Signer, tmp_path: Path, changes: dict[str, object]
) -> None:
    path = signer.write(tmp_path / "jwks.json")
    tokens = Tokens(Settings(**GOOD, jwt_jwks_file=path))
    (public,) = json.loads(path.read_text())["keys"]
    path.write_text(json.dumps({"keys": [{**public, **changes}]}))
    touch(path)
    assert tokens.caller(signer.token()).tenant == "acme"
    with pytest.raises(SettingsError, match=r"^JWT_JWKS_FILE="):
        Tokens(Settings(**GOOD, jwt_jwks_file=path))


@pytest.mark.parametrize("value", [float("inf"), float("nan"), [1], {}, "soon"])
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
def test_invalid_times_are_refused(claim: str, value: object) -> None:
    assert refused(Tokens(Settings(**GOOD, jwt_secret=SECRET)), token(**{claim: value})) == "token_invalid"


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_deeply_nested_headers_and_claims_are_refused(left: str, right: str) -> None:
    deep = left * 20_000 + "1" + right * 20_000
    for text in (forged(deep), forged({"alg": "HS256"}, SECRET.encode(), deep)):
        assert refused(Tokens(Settings(**GOOD, jwt_secret=SECRET)), text) == "token_invalid"


@pytest.mark.parametrize(
    ("variable", "changes"),
    [
        ("JWT_ISSUER", {"jwt_issuer": ""}),
        ("JWT_AUDIENCE", {"jwt_audience": ""}),
        ("JWT_SECRET", {"jwt_secret": "short"}),
    ],
)
def test_settings_that_cannot_check_tokens_stop_the_start(variable: str, changes: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}="):
        Tokens(Settings(**{**GOOD, "jwt_secret": SECRET, **changes}))


def test_the_claims_of_these_tests_are_those_that_a_token_has() -> None:
    assert {"sub", "iss", "aud", "exp", "tenant", "scope"} == claims().keys()
