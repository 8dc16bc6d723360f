"""Jobs after their submission: looked at, listed, cancelled, deleted, and their artifacts."""

from uuid import UUID, uuid4

import pytest

from gateway.http.jobs import JobPage
from gateway.jobs.view import JobView
from gateway.pipelines.outputs import Failure
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import JOBS, MASK, RESULT, House
from tests.outboxes import take_due

HOOK = "https://example.com/hook"
UNKNOWN = "8f0e5a4c-58a2-4a53-9d3e-0c6d3f8f1b7a"
OF_A_JOB = (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/callbacks/resend"))


async def shown(house: House, job_id: object) -> dict[str, object]:
    view = (await house.client.get(f"{JOBS}/{job_id}")).raise_for_status().json()
    assert JobView.model_validate(view).model_dump(mode="json", exclude_unset=True) == view
    return view


async def test_a_running_job_shows_its_attempts_and_a_retry_its_reason(house: House) -> None:
    submitted = await house.submit()
    lease = await house.begin(submitted["id"])
    running = await shown(house, submitted["id"])
    assert (running["state"], running["attempts"]) == ("running", 1)
    assert running["started_at"]
    await house.stores.jobs.retry(lease, Failure("triton_unavailable", "away"), 60)
    waiting = await shown(house, submitted["id"])
    assert (waiting["state"], waiting["last_error"]) == ("queued", {"code": "triton_unavailable", "detail": "away"})


async def test_every_answer_about_a_job_is_confined_in_browsers_and_kept_by_no_cache_between(house: House) -> None:
    job = f"{JOBS}/{(submitted := await house.submit())['id']}"
    await house.complete(await house.begin(submitted["id"]))
    mask = await house.client.get(f"{job}/artifacts/{MASK}")
    answers = [mask, *[await house.client.get(path) for path in (job, JOBS, f"{job}/events", f"{job}/artifacts/x")]]
    answers.append(await house.client.head(f"{job}/artifacts/{MASK}"))
    answers.append(await house.client.get(f"{job}/artifacts/{MASK}", headers={"If-None-Match": mask.headers["etag"]}))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404, 200, 304]
    for told in (answer.headers for answer in answers):
        assert told.get_list("x-content-type-options") == ["nosniff"]
        assert "sandbox" in told["content-security-policy"]
        assert told["cache-control"] == ("private, no-cache" if "etag" in told else "no-store")
    assert mask.headers["content-disposition"] == f'inline; filename="{MASK}"'


async def test_a_completed_job_shows_what_was_found_and_made(house: House) -> None:
    submitted = await house.submit(user_id="u/1", callback_url=HOOK)
    await house.complete(await house.begin(submitted["id"]), b"the mask")
    view = await shown(house, submitted["id"])
    assert (view["state"], view["error"], view["timings_ms"]) == ("completed", None, {"infer": 12.5})
    assert (view["photo"], view["persons"]) == (RESULT["photo"], RESULT["persons"])
    artifact = view["artifacts"][MASK]
    assert (artifact["content_type"], artifact["bytes"]) == ("image/png", 8)
    (callback,) = view["callbacks"]
    assert (callback["kind"], callback["destination"], callback["state"]) == ("webhook", HOOK, "pending")


async def test_artifacts_are_served_by_name_and_once_for_those_who_have_them(house: House) -> None:
    submitted = await house.submit()
    path = f"{JOBS}/{submitted['id']}/artifacts/"
    assert_problem(await house.client.get(path + MASK), "job_unfinished")
    await house.complete(await house.begin(submitted["id"]), b"the mask")
    answer = await house.client.get(path + MASK)
    assert (answer.content, answer.headers["content-type"]) == (b"the mask", "image/png")
    assert answer.headers["cache-control"].startswith("private")
    again = await house.client.get(path + MASK, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    missing = await house.client.get(path + "dress_mask.png")
    assert_problem(missing, "artifact_not_found")
    assert MASK in missing.json()["detail"]


async def test_the_link_of_an_artifact_reads_it(house: House) -> None:
    submitted = await house.submit(user_id="ü/ %2F")
    await house.complete(await house.begin(submitted["id"]), b"linked")
    url = (await shown(house, submitted["id"]))["artifacts"][MASK]["url"]
    if not house.stores.durable:
        url = url.removeprefix(house.services.settings.local_url)
    answer = await house.client.get(url)
    assert (answer.status_code, answer.content) == (200, b"linked")


async def test_artifacts_are_served_by_key_only_from_memory(house: House) -> None:
    submitted = await house.submit(user_id="keyed", request_id=uuid4().hex)
    await house.complete(await house.begin(submitted["id"]))
    answer = await house.client.get(f"/v1/artifacts/keyed/{submitted['request_id']}/{MASK}")
    assert answer.status_code == (404 if house.stores.durable else 200)
    assert_problem(await house.client.get("/v1/artifacts/nobody/nothing/x.png"), "artifact_not_found")


async def test_files_wait_for_free_memory(house: House) -> None:
    submitted = await house.submit(user_id="waits", request_id=uuid4().hex)
    await house.complete(await house.begin(submitted["id"]))
    by_key = [] if house.stores.durable else [f"/v1/artifacts/waits/{submitted['request_id']}/{MASK}"]
    for path in (f"{JOBS}/{submitted['id']}/artifacts/{MASK}", *by_key):
        assert (await house.answer_when_there_is_room(path)).content == b"mask"


async def test_a_failed_job_says_why_and_has_no_artifacts(house: House) -> None:
    submitted = await house.submit()
    await house.fail(await house.begin(submitted["id"]))
    view = await shown(house, submitted["id"])
    assert (view["state"], view["error"]) == ("failed", {"code": "no_person", "detail": "nobody there"})
    assert_problem(await house.client.get(f"{JOBS}/{submitted['id']}/artifacts/{MASK}"), "artifact_not_found")


async def test_cancelling_ends_a_job_once_and_leaves_a_finished_one(house: House) -> None:
    waiting, done = await house.submit(), await house.submit()
    await house.complete(await house.begin(done["id"]))
    for _ in range(2):
        cancelled = (await house.client.post(f"{JOBS}/{waiting['id']}/cancel")).raise_for_status().json()
        assert (cancelled["state"], cancelled["error"]["code"]) == ("failed", "cancelled")
    kept = (await house.client.post(f"{JOBS}/{done['id']}/cancel")).raise_for_status().json()
    assert kept["state"] == "completed"


async def test_a_deleted_job_is_gone(house: House) -> None:
    waiting, done = await house.submit(), await house.submit()
    await house.complete(await house.begin(done["id"]))
    for job in (waiting, done):
        answer = await house.client.delete(f"{JOBS}/{job['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert_problem(await house.client.get(f"{JOBS}/{job['id']}"), "job_not_found")
        assert_problem(await house.client.delete(f"{JOBS}/{job['id']}"), "job_not_found")
    assert await house.stores.photos.keys(waiting["id"]) == []
    listed = (await house.client.get(JOBS, params={"limit": "200"})).json()["jobs"]
    assert not {waiting["id"], done["id"]} & {job["id"] for job in listed}


async def test_a_deleted_job_that_runs_is_deleting_until_no_worker_can_write(house: House) -> None:
    submitted = await house.submit()
    lease = await house.begin(submitted["id"])
    for _ in range(2):
        answer = await house.client.delete(f"{JOBS}/{submitted['id']}")
        assert (answer.status_code, answer.headers["location"]) == (202, f"{JOBS}/{submitted['id']}")
        assert (answer.json()["state"], answer.json()["last_error"]) == ("deleting", None)
    assert (await house.client.get(f"{JOBS}/{submitted['id']}")).json()["state"] == "deleting"
    assert not await house.stores.jobs.release(lease)
    assert await house.stores.photos.keys(submitted["id"]) == []
    for method, below in (("GET", "/events"), ("POST", "/cancel"), ("GET", f"/artifacts/{MASK}")):
        assert_problem(await house.client.request(method, f"{JOBS}/{submitted['id']}{below}"), "job_not_found")


@pytest.mark.parametrize(("method", "below"), [*OF_A_JOB, ("GET", f"/artifacts/{MASK}")])
@pytest.mark.parametrize("job_id", [UNKNOWN, "nonsense", "%00"])
async def test_unknown_jobs(house: House, method: str, below: str, job_id: str) -> None:
    assert_problem(await house.client.request(method, f"{JOBS}/{job_id}{below}"), "job_not_found")


async def test_failed_callbacks_are_sent_again(house: House) -> None:
    submitted = await house.submit(callback_url=HOOK)
    await house.complete(await house.begin(submitted["id"]))
    resend = f"{JOBS}/{submitted['id']}/callbacks/resend"
    assert (await house.client.post(resend)).json() == {"resent": 0}
    taken = await take_due(house.stores.outbox, 60)
    (delivery,) = (one for one in taken if str(one.job_id) == submitted["id"])
    await house.stores.outbox.give_up(delivery, "answered 410")
    (failed,) = (await shown(house, submitted["id"]))["callbacks"]
    assert (failed["state"], failed["attempts"], failed["last_error"]) == ("failed", 1, "answered 410")
    assert (await house.client.post(resend)).json() == {"resent": 1}
    (pending,) = (await shown(house, submitted["id"]))["callbacks"]
    assert (pending["state"], pending["attempts"]) == ("pending", 0)


async def test_lists_come_in_pages_the_newest_first(house: House) -> None:
    user = uuid4().hex
    ids = [str((await house.submit(user_id=user))["id"]) for _ in range(5)]
    found, cursor, sizes = [], None, []
    while True:
        params = {"user_id": user, "limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await house.client.get(JOBS, params=params)).raise_for_status().json()
        assert JobPage.model_validate(page).model_dump(mode="json", exclude_unset=True) == page
        found += [job["id"] for job in page["jobs"]]
        sizes.append(len(page["jobs"]))
        cursor = page["next"]
        if cursor is None:
            break
    assert found == ids[::-1]
    assert sizes == [2, 2, 1]
    await house.empty_queue()


async def test_lists_are_filtered(house: House) -> None:
    user = uuid4().hex
    waiting, done = await house.submit(user_id=user), await house.submit(user_id=user)
    await house.stores.jobs.cancel(UUID(str(done["id"])))

    async def listed(**params: str) -> list[str]:
        answer = await house.client.get(JOBS, params={"user_id": user, **params})
        return [job["id"] for job in answer.raise_for_status().json()["jobs"]]

    assert await listed(state="failed") == [done["id"]]
    assert await listed(request_id=str(waiting["request_id"])) == [waiting["id"]]
    assert await listed(pipeline="body_masks") == [done["id"], waiting["id"]]
    assert await listed(pipeline="detect") == []


@pytest.mark.parametrize(
    "query",
    [
        "state=done",
        "limit=0",
        "limit=201",
        "cursor=x",
        "cursor=99999999999999999999",
        "user_id=%00",
        "user_id=%C2%99",
        "a=1",
    ],
)
async def test_lists_refuse_what_they_do_not_know(house: House, query: str) -> None:
    assert_problem(await house.client.get(f"{JOBS}?{query}"), "invalid_parameters")
