import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.callbacks.signature import Signer
from gateway.settings import Settings, SettingsError

KEYS = st.binary(min_size=24, max_size=64)


def secret_of(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def signer(secret: str) -> Signer | None:
    return Signer.from_settings(Settings(webhook_secret=SecretStr(secret)))


@given(KEYS, st.uuids().map(str), st.text())
def test_the_reference_library_verifies_what_is_signed(key: bytes, message_id: str, body: str) -> None:
    secret = secret_of(key)
    now = int(datetime.now(UTC).timestamp())
    headers = signer(secret).headers(message_id, now, body.encode(errors="replace"))
    Webhook(secret).verify(body.encode(errors="replace"), headers, json_parse=False)


def test_the_specifications_own_example() -> None:
    headers = Signer(base64.b64decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD")).headers(
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
    )
    assert headers == {
        "webhook-id": "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        "webhook-timestamp": "1649367553",
        "webhook-signature": "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    }


@given(KEYS)
def test_the_key_is_not_shown(key: bytes) -> None:
    assert repr(signer(secret_of(key))) == "Signer()"


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
    with pytest.raises(SettingsError) as caught:
        signer(secret)
    message = str(caught.value)
    assert message.startswith("WEBHOOK_SECRET=…: ")
    assert "openssl rand" in message
    assert not secret[6:] or secret[6:] not in message
