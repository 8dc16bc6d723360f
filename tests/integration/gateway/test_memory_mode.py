"""Jobs in a gateway without database, S3 and Kafka, on a real Triton."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from tests.ports import free_ports
from tests.stack import CHECKOUT, RunningStack, eventually

pytestmark = pytest.mark.stack

MEMORY = {"DB_USE_DATABASE": "false", "ALLOWED_NETWORKS": "127.0.0.0/8"}
"""Loopback stands for the rest of the world."""
SEED_FORM = {"user_id": "user123", "provider": "qwen"}


@pytest.fixture(scope="module")
def gateway(gateways: Callable[..., str]) -> str:
    return gateways(**MEMORY)


@pytest.fixture
def photos(astronaut: Path) -> Iterator[str]:
    """Serves the sample photos over HTTP."""
    (port,) = free_ports(1)
    arguments = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(astronaut.parent)]
    server = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(url), 20, "the photos are served")
    yield url
    server.terminate()
    server.wait(10)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_submitted_photos_get_the_masks_of_a_run(
    gateway: str, photos: str, client: httpx.Client, person: bytes, astronaut: Path, tmp_path: Path
) -> None:
    address = f"{photos}/{astronaut.name}"
    arguments = ["submit", str(astronaut), address, "-o", str(tmp_path), "--mask-types", "upper_body"]
    ended = CliRunner().invoke(app, [*arguments, "--url", gateway])
    assert ended.exit_code == 0, ended.output
    expected = client.post("/v1/run/body_masks", files={"image": person}, data={"mask_types": "upper_body"}).content
    written = list(tmp_path.rglob("upper_body_mask.png"))
    assert len(written) == 2
    assert {path.read_bytes() for path in written} == {expected}


def test_the_events_of_a_job_end_with_its_masks(gateway: str, person: bytes) -> None:
    with httpx.Client(base_url=gateway, timeout=60, trust_env=False) as client:
        job = client.post("/v1/jobs", files={"image": person}, data={"mask_types": "dress"}).json()
        with client.stream("GET", f"/v1/jobs/{job['id']}/events") as answer:
            told = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
        assert told[-1]["state"] == "completed", told[-1]["error"]
        artifact = told[-1]["artifacts"]["dress_mask.png"]
        by_link = client.get(artifact["url"]).raise_for_status().content
        assert by_link == client.get(f"/v1/jobs/{job['id']}/artifacts/dress_mask.png").content
        assert len(by_link) == artifact["bytes"]


def test_the_mask_service_fills_its_two_masks_in_order(gateway_with: Callable[..., str], person: bytes) -> None:
    with httpx.Client(base_url=gateway_with(**MEMORY), timeout=60, trust_env=False) as client:
        for number in range(4):
            form = {**SEED_FORM, "job_id": f"job{number}"}
            client.post("/process", files={"user_image": person}, data=form).raise_for_status()
        eventually(lambda: client.get("/stats").json()["jobs_processed"] == 4, 60, "all are done")
        jobs = client.get("/v1/jobs").json()["jobs"]
    assert {tuple(sorted(job["artifacts"])) for job in jobs} == {("lower_body_mask.png", "upper_body_mask.png")}
    ended = sorted(jobs, key=lambda job: str(job["finished_at"]))
    assert [job["request_id"] for job in ended] == [f"job{number}" for number in range(4)]


def test_a_stop_ends_streams_and_the_gateway(stack: RunningStack) -> None:
    (port,), (hanging,) = free_ports(1), free_ports(1)
    settings = {**MEMORY, "TRITON_GRPC_URL": stack.triton, "API_PORT": str(port), "SHUTDOWN_GRACE_S": "0"}
    process = subprocess.Popen([sys.executable, "-m", "gateway"], cwd=CHECKOUT, env={**os.environ, **settings})
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(f"{url}/health/live"), 30, "the gateway answers")
    job = httpx.post(f"{url}/v1/jobs", json={"image": {"url": f"http://127.0.0.1:{hanging}/"}}, trust_env=False).json()
    told: list[str] = []
    watching = threading.Thread(target=listen, args=(f"{url}/v1/jobs/{job['id']}/events", told))
    watching.start()
    eventually(lambda: bool(told), 20, "the stream has begun")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    watching.join(20)
    assert not watching.is_alive()


def listen(url: str, told: list[str]) -> None:
    with httpx.stream("GET", url, timeout=60, trust_env=False) as answer:
        for line in answer.iter_lines():
            told.append(line)  # noqa: PERF402 the other thread waits for the first


def test_half_a_durable_configuration_is_explained() -> None:
    environment = {**os.environ, "POSTGRES_DSN": "postgresql://a:b@127.0.0.1:1/c", "MINIO_ENDPOINT": ""}
    ended = subprocess.run(
        [sys.executable, "-m", "gateway"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
        timeout=30,
    )  # fmt: skip
    assert (ended.returncode, "MINIO_ENDPOINT" in ended.stderr) == (2, True)
