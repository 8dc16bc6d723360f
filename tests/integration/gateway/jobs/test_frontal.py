"""The facial contour services' routes on both kinds of stores; the test decides how a job ends."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from uuid import uuid4

import pytest
import pytest_asyncio

from gateway.http.facial_contours import FrontalStatus, FrontalSubmission
from gateway.jobs.job import Lease, Outcome, StoredArtifact
from gateway.jobs.objects import artifact_key
from tests.integration.gateway.jobs.house import JOBS, PHOTO, House

SUBMIT = "/api/v1/frontal/crop/submit"
STATUS = "/api/v1/frontal/crop/status"
IMAGE = base64.b64encode(PHOTO).decode()
LANDMARKS = [{"x": 1.5 + index / 50, "y": 2.5 + index % 7} for index in range(68)]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
SQUARE = [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]]
HOLE = [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0]]
CONTOURS = {
    "frame": "crop",
    "size": {"width": 16, "height": 16},
    "transform": [[1.0, 0.0, -3.0], [0.0, 1.0, -4.0]],
    "crop": {"width": 16, "height": 16},
    "rotation": 0.0,
    "regions": [
        {"number": 1, "name": "forehead", "color": "#B695C0"}, {"number": 2, "name": "nose", "color": "#D4A574"},
    ],
    "mask_contours": {"1": [SQUARE], "2": [SQUARE, HOLE]},
}  # fmt: skip
FACE = {
    "index": 0, "box": [1.0, 2.0, 3.0, 4.0], "score": None, "landmarks": 68, "rotation": 0.0,
    "transform": CONTOURS["transform"], "crop": CONTOURS["crop"],
    "regions": [{"number": 1, "name": "forehead"}, {"number": 2, "name": "nose"}],
}  # fmt: skip
RESULT = {"status": "completed", "photo": {"width": 16, "height": 16}, "faces": [FACE]}
STATUS_MEMBERS = {
    "id", "task_id", "status", "svg", "mask_contours", "regions", "progress", "error", "submitted_at", "completed_at",
    "processing_time_ms", "cached",
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def emptied(house: House) -> AsyncIterator[None]:
    yield
    await house.empty_queue()


async def draw(house: House, lease: Lease) -> None:
    request = lease.job.request
    files = {
        "contours.svg": ("image/svg+xml", SVG),
        "contours.json": ("application/json", json.dumps(CONTOURS).encode()),
    }
    stored = []
    for name, (kind, data) in files.items():
        key = artifact_key(request.user_id, request.request_id, name)
        await house.stores.artifacts.put(key, data, kind)
        stored.append(StoredArtifact(name, key, kind, len(data)))
    outcome = Outcome(RESULT, tuple(stored), timings_ms={"queue": 100.0, "fetch": 2.0, "infer": 40.0})
    assert await house.stores.jobs.finish(lease, outcome)


async def submitted(house: House, body: Mapping[str, object]) -> dict[str, object]:
    answer = await house.client.post(SUBMIT, json={"image": IMAGE, **body})
    assert answer.status_code == 200, answer.text
    assert FrontalSubmission.model_validate(answer.json()).model_dump() == answer.json()
    return answer.json()


async def status_of(house: House, task_id: object) -> dict[str, object]:
    answer = await house.client.get(f"{STATUS}/{task_id}")
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() >= STATUS_MEMBERS
    assert FrontalStatus.model_validate(answer.json()).model_dump(mode="json") == answer.json()
    return answer.json()


async def test_a_task_from_submission_to_contours(house: House) -> None:
    task = await submitted(house, {"landmarks": LANDMARKS, "segmentation_map": {"chin": [1, 2, 3, 4]}})
    assert (task["id"], task["status"]) == (task["task_id"], "pending")
    assert task["message"]
    times = [datetime.fromisoformat(str(task[name])) for name in _TIMES]
    assert times[0] < times[1]
    waiting = await status_of(house, task["id"])
    nothing = dict.fromkeys(("svg", "mask_contours", "regions", "error", "completed_at", "processing_time_ms"))
    assert {**waiting, **nothing, "status": "pending", "progress": 0, "cached": False} == waiting
    lease = await house.begin(task["id"])
    assert (await status_of(house, task["id"]))["status"] == "processing"
    await draw(house, lease)
    done = await status_of(house, task["task_id"])
    assert (done["status"], done["progress"], done["error"], done["cached"]) == ("completed", 100, None, False)
    assert base64.b64decode(str(done["svg"])) == SVG
    assert done["mask_contours"] == {"1": SQUARE, "2": [SQUARE, HOLE]}
    assert (done["regions"], done["transform"]) == (CONTOURS["regions"], CONTOURS["transform"])
    assert done["processing_time_ms"] == 42.0
    assert str(done["completed_at"]) > str(done["submitted_at"])


async def test_contours_wait_for_free_memory(house: House) -> None:
    task = await submitted(house, {})
    await draw(house, await house.begin(task["id"]))
    answer = await house.answer_when_there_is_room(f"{STATUS}/{task['id']}")
    assert answer.json()["status"] == "completed"


_TIMES = ("submitted_at", "estimated_completion_time")


async def test_json_and_multipart_ask_for_the_same(house: House) -> None:
    label_map = b"\x89PNG no text \xff"
    fields = {"show_labels": True, "region_opacity": 0.7, "stroke_width": 2}
    by_json = await submitted(
        house, {"landmarks": LANDMARKS, "segmentation_map": base64.b64encode(label_map).decode(), **fields}
    )
    files = {
        "image": ("face.png", PHOTO),
        "landmarks": ("landmarks.txt", json.dumps(LANDMARKS).encode()),
        "segmentation_map": ("seg_map.png", label_map),
    }
    answer = await house.client.post(
        SUBMIT, files=files, data={"show_labels": "True", "region_opacity": "0.7"}, params={"stroke_width": "2"}
    )
    assert answer.status_code == 200, answer.text
    jobs = [(await house.begin(task["id"])).job.request for task in (by_json, answer.json())]
    parameters = [json.loads(job.parameters) for job in jobs]
    assert parameters[0] == parameters[1]
    assert (parameters[0]["region_opacity"], parameters[0]["show_labels"]) == (0.7, True)
    assert {job.pipeline for job in jobs} == {"face_contours"}


async def test_a_failure_says_why(house: House) -> None:
    task = await submitted(house, {"loadtest_mode": False})
    await house.fail(await house.begin(task["id"]), "no_face")
    failed = await status_of(house, task["id"])
    assert (failed["status"], failed["progress"], failed["error"]) == ("failed", 100, "no_face: nobody there")
    assert failed["svg"] is None


async def test_load_tests_are_marked_and_their_parameters_are_not(house: House) -> None:
    sources = {}
    for loadtest_mode in (True, False, "true", None):
        task = await submitted(house, {"loadtest_mode": loadtest_mode, "landmarks": LANDMARKS})
        request = (await house.begin(task["id"])).job.request
        assert "loadtest_mode" not in json.loads(request.parameters)
        sources[loadtest_mode] = request.source
    marked = "frontal:loadtest"
    assert sources == {True: marked, False: "frontal", "true": marked, None: "frontal"}


async def test_unknown_fields_are_passed_over(house: House) -> None:
    task = await submitted(house, {"landmarks": LANDMARKS, "priority": "high", "callback": 7})
    assert "priority" not in json.loads((await house.begin(task["id"])).job.request.parameters)


async def test_only_tasks_of_this_kind_are_known_here(house: House) -> None:
    other = await house.submit()
    for task_id in (other["id"], uuid4(), "abc", "%00"):
        answer = await house.client.get(f"{STATUS}/{task_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"image": None}, "missing_image"),
        ({"image": "?"}, "invalid_base64"),
        ({"image": base64.b64encode(b"%PDF-1.7").decode()}, "image_unsupported"),
        ({"region_opacity": 2}, "invalid_parameters"),
        ({"loadtest_mode": "perhaps"}, "invalid_parameters"),
        ({"segmentation_map": "?"}, "invalid_parameters"),
    ],
)
async def test_refusals(house: House, body: Mapping[str, object], code: str) -> None:
    answer = await house.client.post(SUBMIT, json={"image": IMAGE, **body})
    assert answer.json()["code"] == code
    assert answer.status_code in range(400, 423)


async def test_contours_that_were_removed_are_missed(house: House) -> None:
    task = await submitted(house, {"landmarks": LANDMARKS, "stroke_width": 3})
    await draw(house, await house.begin(task["id"]))
    job = (await house.client.get(f"{JOBS}/{task['id']}")).json()
    await house.stores.artifacts.remove([artifact_key("", job["request_id"], name) for name in job["artifacts"]])
    answer = await house.client.get(f"{STATUS}/{task['id']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "artifact_not_found")
