"""Callbacks against a real receiver."""

import asyncio
import base64
import email
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from uuid import uuid4

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.errors import Problem
from gateway.jobs.job import CallbackKind
from gateway.jobs.objects import ObjectMissingError, StoredObject
from gateway.jobs.outbox import Delivery, DeliveryError, OutboxMessage, Sender
from gateway.settings import Settings, SettingsError
from gateway.worker.webhooks import Signer, open_senders
from tests.names import Names
from tests.stack import free_ports
from tests.web import Answer, Asked, Web, raw, reply, serving, silence

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
WORD = "supersecret-internal-token"
BODY = json.dumps({"type": "job.completed", "data": {"id": "é"}}, ensure_ascii=False).encode()
KEYS = {"upper_body_mask": "u/r/upper_body_mask.png", "lower_body_mask": "u/r/lower_body_mask.png"}
MASKS = {key: b"\x89PNG " + key.encode() for key in KEYS.values()}
FORM = json.dumps({"user_id": "user é", "job_id": "job456", "provider": "qwen", "files": KEYS}).encode()
IMPATIENT_S = 0.3
IN_TWO_HOURS = datetime.now(UTC) + timedelta(hours=2)


class Masks:
    """A bucket of known masks."""

    def __init__(self, masks: Mapping[str, bytes], problem: Problem | None = None) -> None:
        self._masks = masks
        self._problem = problem

    async def get(self, key: str) -> StoredObject:
        if self._problem:
            raise self._problem
        if key not in self._masks:
            raise ObjectMissingError(key)
        return StoredObject(self._masks[key], "image/png")

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        raise NotImplementedError

    async def remove(self, keys: Sequence[str]) -> None:
        raise NotImplementedError

    async def keys(self, prefix: str) -> list[str]:
        raise NotImplementedError

    async def check(self) -> None:
        raise NotImplementedError


def settings(**changes: object) -> Settings:
    values = {
        "allowed_networks": (ip_network("127.0.0.1/32"),),
        "webhook_secret": SecretStr(SECRET),
        "mask_component_secret": SecretStr(WORD),
        "callback_timeout_s": 30.0,
    }
    return Settings(**{**values, **changes})


def delivery(kind: CallbackKind, url: str, body: bytes, tenant: str = "") -> Delivery:
    now, trace = datetime.now(UTC), {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
    content = OutboxMessage(kind, url, "msg_2f1c", body, trace, tenant)
    return Delivery(7, uuid4(), content, "pending", 1, now, now)


@asynccontextmanager
async def senders(masks: Masks | None = None, **changes: object) -> AsyncIterator[Mapping[CallbackKind, Sender]]:
    async with open_senders(settings(**changes), masks or Masks(MASKS), Names(hook_test="127.0.0.1").resolve) as opened:
        yield opened


async def webhook(web: Web, path: str = "/hook?token=1", host: str = "hook.test", tenant: str = "") -> None:
    async with senders() as opened:
        await opened["webhook"].deliver(delivery("webhook", web.url(path, host), BODY, tenant))


async def upload(web: Web, masks: Masks | None = None, body: bytes = FORM) -> None:
    async with senders(masks) as opened:
        await opened["upload"].deliver(delivery("upload", web.url("/v1/mask/upload"), body))


async def webhook_error(answer: Answer, **changes: object) -> DeliveryError:
    async with serving(answer) as web, senders(**changes) as opened:
        with pytest.raises(DeliveryError) as caught:
            await opened["webhook"].deliver(delivery("webhook", web.url("/hook?token=1", "hook.test"), BODY))
    assert "token" not in caught.value.reason
    return caught.value


def failing(times: int) -> Answer:
    left = iter([500] * times)

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await reply(next(left, 200), b"later")(asked, writer)

    return answer


async def test_a_webhook_arrives_signed() -> None:
    async with serving(reply(204)) as web:
        await webhook(web)
    (asked,) = web.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/hook?token=1", BODY)
    assert asked.headers["host"] == f"hook.test:{web.port}"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["webhook-id"] == "msg_2f1c"
    assert asked.headers["traceparent"].startswith("00-1111")
    assert Webhook(SECRET).verify(asked.body, asked.headers) == json.loads(BODY)


async def test_each_tenants_webhooks_are_signed_for_it_alone_whatever_is_tried_again() -> None:
    ours = Signer.from_settings(settings())
    secrets = {"acme": ours.secret_of("acme"), "globex": ours.secret_of("globex"), "the operator": SECRET}
    async with serving(failing(1)) as web:
        with pytest.raises(DeliveryError) as caught:
            await webhook(web, tenant="acme")
        assert "whsec_" not in caught.value.reason
        for tenant in ("acme", "globex"):
            await webhook(web, tenant=tenant)
    refused, *taken = web.asked
    assert refused.headers["webhook-id"] == taken[0].headers["webhook-id"]
    for tenant, asked in zip(("acme", "globex"), taken, strict=True):
        Webhook(secrets[tenant]).verify(asked.body, asked.headers)
        for others in secrets.keys() - {tenant}:
            with pytest.raises(WebhookVerificationError):
                Webhook(secrets[others]).verify(asked.body, asked.headers)


async def test_every_attempt_carries_the_same_message_and_a_signature_that_holds() -> None:
    async with serving(failing(3)) as web:
        for _ in range(3):
            with pytest.raises(DeliveryError) as caught:
                await webhook(web)
            assert not caught.value.lasting
            assert caught.value.reason.endswith("answered 500")
        await webhook(web)
    assert len(web.asked) == 4
    assert {(asked.headers["webhook-id"], asked.body) for asked in web.asked} == {("msg_2f1c", BODY)}
    for asked in web.asked:
        Webhook(SECRET).verify(asked.body, asked.headers)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 400, 401, 404, 408, 409, 425, 429, 500, 502, 503, 504])
async def test_a_refused_webhook_is_tried_again(status: int) -> None:
    error = await webhook_error(reply(status))
    assert not error.lasting
    assert str(status) in error.reason


async def test_a_receiver_that_answers_410_is_not_tried_again() -> None:
    error = await webhook_error(reply(410))
    assert error.lasting
    assert "410" in error.reason


@pytest.mark.parametrize("location", ["/elsewhere", "javascript:alert(1)", "http://[", "http://127.0.0.1:1/\\"])
async def test_a_redirect_is_not_followed_wherever_it_leads(location: str) -> None:
    async with serving(reply(308, Location=location)) as web:
        with pytest.raises(DeliveryError) as caught:
            await webhook(web)
    assert "answered 308" in caught.value.reason
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("120", 120, 120),
        ("999999999999", 86_400, 86_400),
        ("9" * 500, 86_400, 86_400),
        pytest.param(format_datetime(IN_TWO_HOURS, usegmt=True), 3_600, 7_200, id="date"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0, 0),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", 0, 0),
        ("-5", 0, 0),
        ("soon", 0, 0),
    ],
)
async def test_the_time_in_retry_after_is_read(value: str, least: float, most: float) -> None:
    error = await webhook_error(reply(503, Retry_After=value))
    assert least <= error.retry_after_s <= most


async def test_the_body_of_a_refusal_is_not_shown() -> None:
    error = await webhook_error(reply(500, b"inside"))
    assert error.reason.endswith("/hook?… answered 500")


async def test_an_endless_answer_is_not_read_on() -> None:
    sent = 0

    async def endless(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 500 No\r\n\r\n")
        while True:
            writer.write(bytes(65_536))
            await writer.drain()
            sent += 65_536

    assert "answered 500" in (await webhook_error(endless)).reason
    assert sent < 16 * 1024 * 1024, "no more than what the sockets hold"


async def test_a_response_whose_body_never_comes_is_judged_by_its_status() -> None:
    async def stuck(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 5\r\n\r\n")
        await asyncio.Event().wait()

    assert (await webhook_error(stuck)).lasting


@pytest.mark.parametrize("answer", [silence, raw(b""), raw(b"nonsense\r\n\r\n")], ids=["silence", "end", "nonsense"])
async def test_a_receiver_that_does_not_answer_is_tried_again(answer: Answer) -> None:
    error = await webhook_error(answer, callback_timeout_s=IMPATIENT_S if answer is silence else 30.0)
    assert not error.lasting
    assert "hook.test" in error.reason


async def test_a_refused_connection_is_tried_again() -> None:
    (port,) = free_ports(1)
    with pytest.raises(DeliveryError) as caught:
        await webhook(Web("127.0.0.1", port))
    assert not caught.value.lasting


async def test_an_unknown_host_name_is_retried_later() -> None:
    with pytest.raises(DeliveryError) as caught:
        await webhook(Web("127.0.0.1", 80), host="nowhere.test")
    assert not caught.value.lasting


@pytest.mark.parametrize("host", ["127.0.0.2", "127.1", "[::1]", "user@hook.test", "localhost%00", "hook.test/ "])
async def test_a_webhook_to_a_forbidden_address_is_given_up(host: str) -> None:
    async with serving(reply(200), "127.0.0.2") as inside:
        with pytest.raises(DeliveryError) as caught:
            await webhook(inside, host=host)
    assert caught.value.lasting
    assert inside.connections == 0


async def test_without_a_secret_nothing_is_sent_unsigned() -> None:
    async with serving(reply(200)) as web, senders(webhook_secret=SecretStr("")) as opened:
        with pytest.raises(DeliveryError) as caught:
            await opened["webhook"].deliver(delivery("webhook", web.url("/", "hook.test"), BODY))
    assert "WEBHOOK_SECRET" in caught.value.reason
    assert not caught.value.lasting
    assert web.connections == 0


async def test_the_masks_arrive_as_a_form() -> None:
    async with serving(reply(200, b"{}")) as web:
        await upload(web)
    (asked,) = web.asked
    assert (asked.method, asked.target, asked.headers["x-internal-auth"]) == ("POST", "/v1/mask/upload", WORD)
    parts = form(asked)
    assert {name: part for name, part in parts.items() if not part[0]} == {
        "user_id": (None, "user é".encode()),
        "job_id": (None, b"job456"),
        "provider": (None, b"qwen"),
    }
    assert parts["upper_body_mask"] == ("upper_body_mask.png", MASKS[KEYS["upper_body_mask"]])
    assert parts["lower_body_mask"] == ("lower_body_mask.png", MASKS[KEYS["lower_body_mask"]])


async def test_the_asset_service_may_be_anywhere() -> None:
    async with serving(reply(201), "127.0.0.2") as web:
        await upload(web)
    assert len(web.asked) == 1


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 413, 500])
async def test_any_refusal_of_an_upload_is_tried_again(status: int) -> None:
    async with serving(reply(status, b"no")) as web:
        with pytest.raises(DeliveryError) as caught:
            await upload(web)
    assert not caught.value.lasting
    assert caught.value.reason.endswith(f"answered {status}")
    assert WORD not in caught.value.reason


async def test_a_wrong_secret_gets_401() -> None:
    async def checking(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await reply(200 if asked.headers.get("x-internal-auth") == WORD else 401)(asked, writer)

    async with serving(checking) as web:
        await upload(web)
        for secret in ("wrong", ""):
            async with senders(mask_component_secret=SecretStr(secret)) as opened:
                with pytest.raises(DeliveryError) as caught:
                    await opened["upload"].deliver(delivery("upload", web.url(), FORM))
            assert caught.value.reason.endswith("answered 401")
    assert "x-internal-auth" not in web.asked[-1].headers


async def test_a_secret_with_a_line_end_is_sent_without_it() -> None:
    async with serving(reply(200)) as web, senders(mask_component_secret=SecretStr(f"{WORD}\n")) as opened:
        await opened["upload"].deliver(delivery("upload", web.url(), FORM))
    assert web.asked[0].headers["x-internal-auth"] == WORD


@pytest.mark.parametrize("secret", ["sécret", "a\nb", "a\x00"])
async def test_a_secret_that_no_header_can_hold_is_refused(secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        async with senders(mask_component_secret=SecretStr(secret)):
            pass
    assert str(caught.value).startswith("MASK_COMPONENT_SECRET=…: ")
    assert secret not in str(caught.value)


async def test_a_malformed_webhook_secret_is_refused_at_once() -> None:
    with pytest.raises(SettingsError):
        async with senders(webhook_secret=SecretStr("password")):
            pass


@pytest.mark.parametrize(
    ("masks", "body", "lasting"),
    [
        (Masks({}), FORM, True),
        (Masks(MASKS, Problem("storage_unavailable", "S3 did not answer.")), FORM, False),
        (Masks(MASKS), b"{}", True),
    ],
    ids=["gone", "unavailable", "malformed"],
)
async def test_masks_that_cannot_be_read_are_not_uploaded(masks: Masks, body: bytes, *, lasting: bool) -> None:
    async with serving(reply(200)) as web:
        with pytest.raises(DeliveryError) as caught:
            await upload(web, masks, body)
    assert caught.value.lasting is lasting
    assert web.connections == 0


@pytest.mark.parametrize("url", ["http://::1/upload", "http://assets:99999/", "https://user:word@assets/"])
async def test_an_impossible_address_of_the_asset_service_is_refused(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        async with senders(mask_asset_url=url):
            pass
    assert str(caught.value).startswith("MASK_ASSET_URL=")
    async with senders() as opened:
        with pytest.raises(DeliveryError) as undelivered:
            await opened["upload"].deliver(delivery("upload", url, FORM))
    assert undelivered.value.lasting


async def test_each_kind_keeps_its_schedule() -> None:
    async with senders() as opened:
        assert set(opened) == {"webhook", "upload"}
        assert [opened["webhook"].delay_s(1), opened["webhook"].delay_s(10)] == [5, None]
        assert [opened["upload"].delay_s(4), opened["upload"].delay_s(5)] == [8, None]


def form(asked: Asked) -> dict[str, tuple[str | None, bytes]]:
    """File name and content of each field, read by the standard library."""
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + asked.body).get_payload()
    return {
        part.get_param("name", header="content-disposition"): (part.get_filename(), part.get_payload(decode=True))
        for part in parts
    }
