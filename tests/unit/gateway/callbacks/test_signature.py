import base64
import hmac
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.settings import Settings, SettingsError
from gateway.settings.fields import TENANT_PATTERN
from gateway.worker.webhooks import Signer

KEYS = st.binary(min_size=24, max_size=64)
TENANTS = st.from_regex(TENANT_PATTERN, fullmatch=True)
PAGE = Path(__file__).parents[4] / "docs" / "jobs.md"
BODY = b'{"tenant":"acme"}'


def secret_of(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def signer(secret: str, before: str = "") -> Signer | None:
    return Signer.from_settings(Settings(webhook_secret=SecretStr(secret), webhook_secret_before=SecretStr(before)))


def signed(by: Signer, tenant: str, body: bytes = BODY) -> Mapping[str, str]:
    return by.headers(tenant, "msg_1", int(datetime.now(UTC).timestamp()), body)


def holds(secret: str, headers: Mapping[str, str], body: bytes = BODY) -> bool:
    """Whether the reference library lets a message in."""
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


@given(KEYS, TENANTS, st.text())
def test_the_reference_library_verifies_with_the_tenants_own_secret(key: bytes, tenant: str, body: str) -> None:
    content, ours = body.encode(errors="replace"), signer(secret_of(key))
    assert holds(ours.secret_of(tenant), signed(ours, tenant, content), content)


@given(KEYS, st.lists(TENANTS, min_size=2, max_size=2, unique=True))
def test_nothing_that_a_tenant_has_verifies_or_makes_another_ones_message(key: bytes, tenants: list[str]) -> None:
    ours, (mine, other) = signer(secret_of(key)), tenants
    for secret in (ours.secret_of(other), ours.secret_of(""), secret_of(key)):
        assert not holds(secret, signed(ours, mine))
    thief = signer(ours.secret_of(mine))
    for tenant in (other, ""):
        assert not any(holds(ours.secret_of(tenant), signed(thief, guess)) for guess in (mine, other, ""))


@given(KEYS, TENANTS | st.just(""))
def test_a_tenants_secret_is_derived_as_rfc_5869_says(key: bytes, tenant: str) -> None:
    """The first block of HKDF-Expand is an HMAC of the label and the byte 1 (§2.3)."""
    label = f"maskwright webhook secret v1, tenant:{tenant}".encode()
    assert Signer(key).secret_of(tenant) == secret_of(hmac.digest(key, label + b"\x01", "sha256"))


@given(KEYS, st.text(), st.integers(0, 2**32), st.text())
def test_a_message_is_signed_as_the_specification_says(key: bytes, message_id: str, timestamp: int, body: str) -> None:
    """HMAC-SHA256 of the id, the time and the body with dots between, computed here without the library."""
    message_id, content = message_id.encode(errors="replace").decode(), body.encode(errors="replace")
    first = Signer(key).headers("", message_id, timestamp, content)["webhook-signature"].split(" ")[0]
    signature = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + content, "sha256")
    assert first == f"v1,{base64.b64encode(signature).decode()}"


def test_the_specifications_own_example() -> None:
    """Jobs of no tenant are signed as they were before there were tenants' secrets."""
    headers = Signer(base64.b64decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD")).headers(
        "",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
    )
    first, _own = headers.pop("webhook-signature").split(" ")
    assert first == "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
    assert headers == {"webhook-id": "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "webhook-timestamp": "1649367553"}


@pytest.mark.parametrize("tenant", ["", "acme"])
def test_both_old_and_new_secret_are_signed_with_until_the_old_one_is_removed(tenant: str) -> None:
    old, new = secret_of(bytes(32)), secret_of(bytes(range(32)))
    during, after = signer(new, old), signer(new)
    for secret in (old, signer(old).secret_of(tenant)):
        assert holds(secret, signed(during, tenant))
        assert not holds(secret, signed(after, tenant))
    assert holds(after.secret_of(tenant), signed(during, tenant))
    assert during.secret_of(tenant) == after.secret_of(tenant)


def test_the_documented_example_accepts_only_its_tenants_events() -> None:
    ours = signer(secret_of(bytes(range(32))))
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    scope: dict[str, object] = {}
    exec(example.replace("whsec_…", ours.secret_of("acme")), scope)  # noqa: S102 our own page
    event_of = scope["event_of"]
    assert isinstance(event_of, Callable)
    headers = signed(ours, "acme")
    assert event_of(BODY, headers) == json.loads(BODY)
    for body, others in ((BODY, signed(ours, "globex")), (BODY + b" ", headers)):
        with pytest.raises(WebhookVerificationError):
            event_of(body, others)


def shown(*options: str, **environment: str) -> tuple[int, str, str]:
    variables = {"DB_USE_DATABASE": "true", "WEBHOOK_SECRET": "", "WEBHOOK_SECRET_BEFORE": "", **environment}
    made = CliRunner().invoke(app, ["keys", "webhook", *options], env=variables)
    return made.exit_code, made.stdout, made.stderr


def test_the_command_shows_the_tenants_secret_alone() -> None:
    root = secret_of(bytes(range(32)))
    for tenant in ("acme", ""):
        code, out, _ = shown("--tenant", tenant, WEBHOOK_SECRET=root)
        assert (code, out) == (0, f"{signer(root).secret_of(tenant)}\n")


@pytest.mark.parametrize(
    ("tenant", "secret", "said"),
    [("acme", "", "WEBHOOK_SECRET is not set"), ("acme", "hunter2", "WEBHOOK_SECRET=…"), ("A b", "", "--tenant")],
)
def test_the_command_reports_why_there_is_no_secret(tenant: str, secret: str, said: str) -> None:
    code, out, wrong = shown("--tenant", tenant, WEBHOOK_SECRET=secret)
    assert (code, out) == (2, "")
    assert said in wrong
    assert "hunter2" not in wrong


@given(KEYS)
def test_the_key_is_not_shown(key: bytes) -> None:
    assert repr(signer(secret_of(key), secret_of(key))) == "Signer()"


def test_unpadded_base64_is_the_same_key() -> None:
    secret = secret_of(bytes(range(25)))
    assert secret.endswith("=")
    assert signer(secret.rstrip("=")) == signer(secret)


def test_no_secret_is_no_signer() -> None:
    assert signer("") is None


@pytest.mark.parametrize(
    "secret",
    ["password", "whsec_", "whsec_!!!!", "whsec_abc", secret_of(bytes(23)), secret_of(bytes(65)),
     secret_of(bytes(32)).removeprefix("whsec_"), "whsek_" + secret_of(bytes(32))[6:], secret_of(bytes(32)) + "é"],
)  # fmt: skip
def test_a_malformed_secret_is_refused_without_showing_it(secret: str) -> None:
    for variable, secrets in {"WEBHOOK_SECRET": (secret,), "WEBHOOK_SECRET_BEFORE": ("", secret)}.items():
        with pytest.raises(SettingsError) as caught:
            signer(*secrets)
        message = str(caught.value)
        assert message.startswith(f"{variable}=…: ")
        assert "openssl rand" in message
        assert not secret[6:] or secret[6:] not in message
