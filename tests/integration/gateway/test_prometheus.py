"""What the facial region service's users ask Prometheus, asked of a real one."""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

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


@pytest.fixture(scope="module", params=["durable", "memory"])
def gateway(request: pytest.FixtureRequest, stack: RunningStack, gateways: Callable[..., str]) -> str:
    """A gateway that has drawn a face, drawn it again from its cache, and refused a request."""
    url = stack.url if request.param == "durable" else gateways(DB_USE_DATABASE="false")
    photo = request.getfixturevalue("astronaut").read_bytes()
    for _ in range(2):
        draw(url, photo)
    assert httpx.get(f"{url}/nowhere", trust_env=False).status_code == 404
    return url


def draw(url: str, photo: bytes) -> None:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        task = client.post(SUBMIT, files={"image": photo}).raise_for_status().json()
        status = lambda: client.get(f"{STATUS}/{task['id']}").json()["status"]  # noqa: E731
        eventually(lambda: status() == "completed", 60, "the task is completed")


@pytest.fixture(scope="module")
def prometheus(gateway: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Prometheus with the configuration of deploy/, which scrapes each second."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed; on Debian: apt-get install prometheus")
    folder, (port,) = tmp_path_factory.mktemp("prometheus"), free_ports(1)
    text = CONFIGURATION.read_text(encoding="utf-8").replace("127.0.0.1:8000", gateway.removeprefix("http://"))
    (folder / "prometheus.yml").write_text(text.replace("scrape_interval: 15s", "scrape_interval: 1s"))
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--log.level=error"]
    server = subprocess.Popen([binary, *options, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            eventually(lambda: is_ready(client), 30, "Prometheus is ready")
            yield client
    finally:
        server.terminate()
        server.wait(20)


def is_ready(client: httpx.Client) -> bool:
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


def labels(gateway: str) -> dict[str, set[str]]:
    """Of each sample on the page."""
    answer = httpx.get(f"{gateway}/metrics", trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return {name: found.get(name, {"missing"}) for name in NAMED}


def test_the_page_has_the_documented_names_and_labels(gateway: str) -> None:
    eventually(lambda: labels(gateway) == NAMED, 20, "the worker has reported what it did")


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


def test_any_gateway_tells_what_workers_did(gateway: str) -> None:
    def told() -> bool:
        page = httpx.get(f"{gateway}/metrics", trust_env=False).text
        ended = re.search(
            r'^task_completions_total{status="completed",type="face_contours"} (\S+)$', page, re.MULTILINE
        )
        return ended is not None and float(ended[1]) >= 2

    eventually(told, 20, "the worker has reported what it did")


@pytest.mark.parametrize("query", QUERIES)
def test_the_queries_of_the_service_before_return_data(
    gateway: str, prometheus: httpx.Client, query: str, astronaut: Path
) -> None:
    photo = astronaut.read_bytes()

    def answered() -> bool:
        draw(gateway, photo)
        return bool(values(prometheus, query))

    eventually(answered, 60, query)


def test_cached_and_new_are_told_apart(prometheus: httpx.Client) -> None:
    for status in ("cached", "new"):
        eventually(lambda status=status: values(prometheus, f'processing_time_ms{{status="{status}"}}'), 30, status)


def test_every_panel_of_the_dashboard_asks_for_what_there_is(prometheus: httpx.Client) -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    for query in (target["expr"] for panel in panels for target in panel["targets"]):
        eventually(lambda query=query: values(prometheus, query), 60, query)
