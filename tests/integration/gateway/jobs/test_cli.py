"""`maskwright jobs` and `poison`, and `submit --detach`, against a gateway."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import structlog
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.integration.gateway.jobs.house import MASK, PHOTO, House
from tests.integration.gateway.jobs.test_cache_routes import DRAWN, REFUSED, entry
from tests.integration.gateway.jobs.test_poison import put
from tests.outboxes import take_due


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The gateway logs in this process, into what the command seems to print."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


async def maskwright(house: House, *arguments: object) -> Result:
    """What the command prints and how it exits; it has an event loop of its own."""
    environment = {"MASKWRIGHT_URL": str(house.client.base_url), "COLUMNS": "200"}
    return await asyncio.to_thread(CliRunner().invoke, app, [str(word) for word in arguments], env=environment)


async def test_list_and_show(house: House) -> None:
    user = uuid4().hex
    submitted = await house.submit(user_id=user)
    await house.complete(await house.begin(submitted["id"]))
    listed = await maskwright(house, "jobs", "list", "--user-id", user)
    assert listed.exit_code == 0, listed.output
    assert str(submitted["id"]) in listed.output
    assert "completed" in listed.output
    shown = await maskwright(house, "jobs", "show", submitted["id"])
    assert MASK in shown.output
    raw = await maskwright(house, "jobs", "show", submitted["id"], "--json")
    assert json.loads(raw.stdout) == (await house.client.get(f"/v1/jobs/{submitted['id']}")).json()


async def test_a_list_longer_than_a_page_is_collected(house: House) -> None:
    user = uuid4().hex
    ids = [str((await house.submit(user_id=user))["id"]) for _ in range(3)]
    listed = await maskwright(house, "jobs", "list", "--user-id", user, "--json", "--limit", "2")
    assert [job["id"] for job in json.loads(listed.stdout)] == ids[:0:-1]
    await house.empty_queue()


async def test_watch_ends_with_the_outcome(house: House) -> None:
    for end, code in ((house.complete, 0), (house.fail, 1)):
        submitted = await house.submit()
        watching = asyncio.create_task(maskwright(house, "jobs", "watch", submitted["id"], "--json"))
        lease = await house.begin(submitted["id"])
        await end(lease)
        watched = await watching
        states = [json.loads(line)["state"] for line in watched.stdout.splitlines()]
        assert states[-1] == ("failed" if code else "completed")
        assert watched.exit_code == code


async def test_cancel_and_delete(house: House) -> None:
    submitted = await house.submit()
    cancelled = await maskwright(house, "jobs", "cancel", submitted["id"])
    assert cancelled.output == f"{submitted['id']} failed\n"
    assert (await maskwright(house, "jobs", "delete", submitted["id"])).exit_code == 0
    gone = await maskwright(house, "jobs", "show", submitted["id"])
    assert gone.exit_code == 1
    assert "job_not_found" in gone.stderr


async def test_resend(house: House) -> None:
    submitted = await house.submit(callback_url="https://example.com/hook")
    await house.fail(await house.begin(submitted["id"]))
    taken = await take_due(house.stores.outbox, 60)
    (delivery,) = (one for one in taken if str(one.job_id) == submitted["id"])
    await house.stores.outbox.give_up(delivery, "answered 410")
    shown = await maskwright(house, "jobs", "show", submitted["id"])
    assert "answered 410" in shown.output
    sent = await maskwright(house, "jobs", "resend", submitted["id"])
    assert sent.output == f"{submitted['id']} 1 sent again\n"


async def test_poison(house: House) -> None:
    entries = [await put(house) for _ in range(2)]
    listed = await maskwright(house, "poison", "list", "--json")
    assert [entry["id"] for entry in json.loads(listed.stdout)][:2] == [entry["id"] for entry in entries[::-1]]
    table = await maskwright(house, "poison", "list")
    assert "invalid_json: cut off" in table.output
    replayed = await maskwright(house, "poison", "replay", entries[0]["id"])
    dropped = await maskwright(house, "poison", "drop", entries[1]["id"])
    assert (replayed.exit_code, dropped.exit_code) == (0, 0)
    again = await maskwright(house, "poison", "drop", entries[1]["id"])
    assert (again.exit_code, "poison_not_found" in again.stderr) == (1, True)


async def test_submit_queues_files_and_addresses(house: House, tmp_path: Path) -> None:
    user = uuid4().hex
    (tmp_path / "a.png").write_bytes(PHOTO)
    arguments = ("submit", tmp_path / "a.png", "https://example.com/b.jpg", "--detach", "--user-id", user, "--json")
    submitted = await maskwright(house, *arguments, "--mask-types", "dress", "--priority", "2")
    assert submitted.exit_code == 0, submitted.output
    jobs = json.loads(submitted.stdout)
    kept = [await house.stores.jobs.get(UUID(job["id"])) for job in jobs]
    assert [job.request.image.kind for job in kept] == ["photo", "url"]
    for job in kept:
        assert (json.loads(await house.stores.jobs.parameters(job.id))["mask_types"], job.request.priority) == (
            ["dress"],
            2,
        )
    await house.empty_queue()


async def test_submit_tells_of_each_failure(house: House, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"%PDF-1.7")
    submitted = await maskwright(house, "submit", tmp_path / "bad.png", tmp_path / "none.png", "--detach")
    assert submitted.exit_code == 1
    assert "image_unsupported" in submitted.output
    assert "file_error" in submitted.output


async def test_one_request_id_is_for_one_photo(house: House) -> None:
    several = await maskwright(house, "submit", "https://a.example/1", "https://a.example/2", "--request-id", "r")
    assert (several.exit_code, "--request-id" in several.stderr) == (2, True)


async def test_any_field_can_be_sent(house: House, tmp_path: Path) -> None:
    photo, types = tmp_path / "photo.jpg", tmp_path / "types.txt"
    photo.write_bytes(PHOTO)
    types.write_text("dress,upper_body")
    fields = ("-F", f"mask_types=@{types}", "-F", "style=labels")
    sent = await maskwright(house, "submit", photo, "--detach", "--json", *fields)
    assert sent.exit_code == 0, sent.output
    lease = await house.begin(json.loads(sent.stdout)[0]["id"])
    asked = json.loads(lease.job.request.parameters)
    assert (asked["mask_types"], asked["style"]) == (["dress", "upper_body"], "labels")


@pytest.mark.parametrize("field", ["style", "=labels", "style=@nowhere.txt"])
async def test_a_malformed_field_option_is_refused(house: House, field: str) -> None:
    refused = await maskwright(house, "submit", "photo.jpg", "-F", field)
    assert (refused.exit_code, "--field" in refused.stderr) == (2, True)


async def test_the_cache_is_shown_and_cleaned(house: House) -> None:
    kept, old = entry(DRAWN), entry(REFUSED, life_s=-1.0)
    for one in (kept, old):
        await house.stores.cache.keep(one)
        house.stores.cache.count(one)
    figures = (await house.client.get("/api/v1/cache/stats", params={"days": 1})).json()
    assert json.loads((await maskwright(house, "cache", "stats", "--days", "1", "--json")).stdout) == figures
    assert "total_requests" in (await maskwright(house, "cache", "stats")).output
    recent = (await maskwright(house, "cache", "recent", "--limit", "2")).output
    assert kept.task_id in recent
    assert "no_face" in recent
    assert (await maskwright(house, "cache", "cleanup")).output == "1 entries were removed.\n"
    assert old.task_id not in (await maskwright(house, "cache", "recent", "--json")).output
    assert (await maskwright(house, "cache", "recent", "--limit", "51")).exit_code == 2
