"""What the facial region service's users ask Prometheus, asked of a real one."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.ports import free_ports
from tests.stack import CHECKOUT, RunningStack, eventually

pytestmark = pytest.mark.stack

CONFIGURATION = CHECKOUT / "deploy" / "prometheus" / "prometheus.yml"
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "dashboards" / "maskwright.json"
SUBMIT, STATUS = "/api/v1/frontal/crop/submit", "/api/v1/frontal/crop/status"
DOCUMENT = (CHECKOUT / "docs" / "metrics.md").read_text(encoding="utf-8")
QUERIES = DOCUMENT.partition("```promql\n")[2].partition("```")[0].splitlines()
NAMED = {
    "api_requests_total": {"method", "endpoint", "status"},
    "api_request_duration_seconds_bucket": {"method", "endpoint", "le"},
    "api_request_size_bytes_bucket": {"method", "endpoint", "le"},
    "api_response_size_bytes_bucket": {"method", "endpoint", "le"},
    "task_submissions_total": {"type"},
    "task_completions_total": {"type", "status"},
    "task_processing_duration_seconds_bucket": {"type", "le"},
    "task_queue_size": {"queue"},
    "active_tasks_count": set(),
    "cache_requests_total": set(),
    "cache_hits_total": set(),
    "cache_hit_ratio": set(),
    "cached_entries_total": set(),
    "image_processing_duration_seconds_bucket": {"operation", "le"},
    "landmarks_processed_total": set(),
    "regions_generated_total": {"type"},
    "memory_usage_bytes": {"process"},
    "cpu_usage_percent": {"process"},
    "errors_total": {"type", "component"},
    "processing_time_ms": {"status", "process"},
    "jobs": {"state"},
    "jobs_oldest_age_seconds": {"state"},
    "deletions_pending": set(),
    "deletions_failing": set(),
    "outbox_pending": {"kind"},
    "outbox_oldest_age_seconds": {"kind"},
    "outbox_deliveries_total": {"kind", "status"},
    "poison_entries_open": set(),
    "poison_oldest_age_seconds": set(),
    "leases_lost_total": set(),
    "credentials_refused_total": {"code"},
    "bytes_in_flight": {"stage", "process"},
}
TASKS = ("task_submissions_total", "task_completions_total")
OF_STORES = {
    *("task_queue_size", "active_tasks_count", "cache_requests_total", "cache_hits_total", "cache_hit_ratio"),
    *("cached_entries_total", "jobs", "deletions_pending", "deletions_failing", "outbox_pending"),
    *("poison_entries_open", "poison_oldest_age_seconds"),
}


@dataclass(frozen=True)
class Service:
    """Gateways and workers, by their base URLs; in memory mode the one gateway works by itself."""

    gateways: tuple[str, ...]
    workers: tuple[str, ...] = ()

    @property
    def processes(self) -> tuple[str, ...]:
        return self.gateways + self.workers

    def value(self, name: str, processes: Sequence[str] = (), **labels: str) -> float:
        """The sum over the pages of all processes, or of these, and over all values of the other labels."""
        samples = (sample for process in processes or self.processes for sample in samples_of(process))
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


@pytest.fixture(scope="module", params=["durable", "memory"])
def service(request: pytest.FixtureRequest, photos: Iterator[bytes]) -> Iterator[Service]:
    """Two gateways and two workers, or one gateway alone, that have drawn faces and refused a request."""
    started = several if request.param == "durable" else alone
    with started(request.getfixturevalue("stack"), request.getfixturevalue("gateways")) as service:
        photo = next(photos)
        for _ in range(2):  # the second time from the cache
            draw(service.gateways[0], photo)
        for gateway in service.gateways:
            assert httpx.get(f"{gateway}/nowhere", trust_env=False).status_code == 404
        yield service


@contextmanager
def alone(_stack: RunningStack, gateways: Callable[..., str]) -> Iterator[Service]:
    yield Service((gateways(DB_USE_DATABASE="false"),))


@contextmanager
def several(stack: RunningStack, gateways: Callable[..., str]) -> Iterator[Service]:
    """The gateway and the worker of the stack, and one more of each on its stores."""
    same, (port,) = on_its_stores(stack), free_ports(1)
    environment = {**os.environ, **same, "WORKER_PORT": str(port), "LOG_LEVEL": "ERROR"}
    worker = subprocess.Popen([sys.executable, "-m", "gateway.worker"], cwd=CHECKOUT, env=environment)
    try:
        second = f"http://127.0.0.1:{port}"
        eventually(lambda: is_ready(second), 60, "the second worker is ready")
        first = f"http://127.0.0.1:{stack.environment['WORKER_PORT']}"
        yield Service((stack.url, gateways(**same)), (first, second))
    finally:
        worker.terminate()
        worker.wait(40)


def on_its_stores(stack: RunningStack) -> dict[str, str]:
    """The variables of a further process on the stores of the stack; it takes no messages."""
    return {**stack.addresses(), "KAFKA_BOOTSTRAP_SERVERS": ""}


def is_ready(worker: str) -> bool:
    try:
        return httpx.get(f"{worker}/health/ready", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def photos(astronaut: Path) -> Iterator[bytes]:
    """Photos of one person, none of which the cache knows."""
    pixels, generator = cv2.imread(str(astronaut)), np.random.default_rng()

    def others() -> Iterator[bytes]:
        while True:
            pixels[:4, :4] = generator.integers(0, 256, (4, 4, 3))
            yield cv2.imencode(".png", pixels)[1].tobytes()

    return others()


def draw(url: str, photo: bytes) -> None:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        task = client.post(SUBMIT, files={"image": photo}).raise_for_status().json()
        status = lambda: client.get(f"{STATUS}/{task['id']}").json()["status"]  # noqa: E731
        eventually(lambda: status() == "completed", 60, "the task is completed")


@pytest.fixture(scope="module")
def prometheus(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Prometheus with the configuration of deploy/, which scrapes each second."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed; on Debian: apt-get install prometheus")
    folder, (port,) = tmp_path_factory.mktemp("prometheus"), free_ports(1)
    text = CONFIGURATION.read_text(encoding="utf-8").replace("scrape_interval: 15s", "scrape_interval: 1s")
    targets = re.compile(r"( +- targets:\n)( +- \"127.0.0.1:\d+\".*\n)+")
    assert len(targets.findall(text)) == 1
    addresses = "".join(f'          - "{url.removeprefix("http://")}"\n' for url in service.processes)
    (folder / "prometheus.yml").write_text(targets.sub(lambda found: found[1] + addresses, text))
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--log.level=error"]
    server = subprocess.Popen([binary, *options, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            eventually(lambda: is_up(client), 30, "Prometheus is ready")
            yield client
    finally:
        server.terminate()
        server.wait(20)


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").is_success
    except httpx.TransportError:
        return False


def values(prometheus: httpx.Client, query: str) -> list[float]:
    """Of an instant query, those that are numbers."""
    answer = prometheus.get("/api/v1/query", params={"query": query})
    assert answer.is_success, answer.text
    found = [float(item["value"][1]) for item in answer.json()["data"]["result"]]
    return [value for value in found if not math.isnan(value)]


def samples_of(process: str) -> list[Sample]:
    """Everything on the page of a process."""
    answer = httpx.get(f"{process}/metrics", trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain")
    return [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]


def labels(service: Service) -> dict[str, set[str]]:
    """Of each documented name, on the pages of all processes."""
    found: dict[str, set[str]] = {}
    for sample in (sample for process in service.processes for sample in samples_of(process)):
        found.setdefault(sample.name, set()).update(sample.labels)
    return {name: found.get(name, {"missing"}) for name in NAMED}


def test_the_pages_have_the_documented_names_and_labels(service: Service) -> None:
    assert labels(service) == NAMED


def test_the_names_are_documented() -> None:
    assert len(QUERIES) == 4
    for name in NAMED:
        assert f"`{name.removesuffix('_bucket')}`" in DOCUMENT


def test_the_alerts_are_rules_about_documented_names() -> None:
    rules = (CONFIGURATION.parent / "alerts.yml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\b([a-z]+(?:_[a-z]+)+)(?=[{\[)])", rules)) | {"jobs_oldest_age_seconds"}
    assert asked <= set(NAMED)
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "rules", CONFIGURATION.parent / "alerts.yml"], check=True)


def test_each_process_counts_what_it_does_and_together_they_count_everything(
    service: Service, photos: Iterator[bytes]
) -> None:
    before = {name: service.value(name, type="face_contours") for name in TASKS}
    taken = [service.value(TASKS[0], [gateway], type="face_contours") for gateway in service.gateways]
    for gateway in service.gateways:
        draw(gateway, next(photos))
    assert {name: service.value(name, type="face_contours") - before[name] for name in TASKS} == dict.fromkeys(
        TASKS, float(len(service.gateways))
    )
    for gateway, count in zip(service.gateways, taken, strict=True):
        assert service.value(TASKS[0], [gateway], type="face_contours") == count + 1

    def worked(worker: str) -> bool:
        draw(service.gateways[0], next(photos))
        return service.value(TASKS[1], [worker]) > 0

    for worker in service.workers:
        eventually(lambda worker=worker: worked(worker), 60, f"{worker} has ended a job")


def test_every_gateway_tells_the_same_of_the_queue_and_the_cache(service: Service) -> None:
    def told(gateway: str) -> dict[str, float]:
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for sample in samples_of(gateway)
            if sample.name in OF_STORES
        }

    first = service.gateways[0]
    for gateway in service.gateways:
        eventually(lambda gateway=gateway: told(gateway) == told(first), 20, "both were asked after the last job")
    assert told(first).keys() >= {"task_queue_size jobs", "cache_requests_total", "outbox_pending webhook"}
    for worker in service.workers:
        assert told(worker) == {}


def test_a_new_process_counts_from_zero(stack: RunningStack, gateways: Callable[..., str]) -> None:
    fresh = Service((gateways(**on_its_stores(stack)),))
    assert fresh.value("task_submissions_total") == 0
    assert fresh.value("api_requests_total", endpoint="/api/v1/frontal/crop/submit") == 0


@pytest.mark.parametrize("query", QUERIES)
def test_the_queries_of_the_service_before_return_data(
    service: Service, prometheus: httpx.Client, query: str, photos: Iterator[bytes]
) -> None:
    photo = next(photos)

    def answered() -> bool:
        for gateway in service.gateways:
            draw(gateway, photo)
        return bool(values(prometheus, query))

    eventually(answered, 60, query)


def test_prometheus_scrapes_every_process(service: Service, prometheus: httpx.Client) -> None:
    eventually(lambda: values(prometheus, 'sum(up{job="maskwright"})') == [len(service.processes)], 30, "all are up")
    drawn = service.value("task_completions_total", status="completed")
    query = 'sum(task_completions_total{status="completed"})'
    eventually(lambda: values(prometheus, query) == [drawn], 30, "the sum over all processes")


def test_cached_and_new_are_told_apart(prometheus: httpx.Client) -> None:
    for status in ("cached", "new"):
        eventually(lambda status=status: values(prometheus, f'processing_time_ms{{status="{status}"}}'), 30, status)


def test_every_panel_of_the_dashboard_asks_for_what_there_is(prometheus: httpx.Client) -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    for query in (target["expr"] for panel in panels for target in panel["targets"]):
        eventually(lambda query=query: values(prometheus, query), 60, query)
