from prometheus_client.parser import text_string_to_metric_families

from gateway.memory.totals import MemoryTotals
from gateway.metrics.families import each_process, everybody, written
from gateway.metrics.instruments import Instruments
from gateway.metrics.reporter import Reporter
from gateway.metrics.requests import Exchange


async def page_of(*counted: Instruments) -> str:
    totals = MemoryTotals()
    for one in counted:
        await Reporter("worker", one, totals).report()
    whole = await totals.read()
    families = [*everybody(counted[0].counted, whole), *each_process(counted[0].measured, whole)]
    return written(families).decode()


def answered(duration_s: float) -> Instruments:
    instruments = Instruments()
    instruments.requests.count(Exchange("GET", "/health", 200, duration_s, 0, 17))
    return instruments


async def test_histograms_of_several_processes_are_one_with_its_buckets_in_order() -> None:
    page = await page_of(answered(0.02), answered(0.2))
    lines = [line for line in page.splitlines() if line.startswith("api_request_duration_seconds")]
    bounds = [line.split('le="')[1].split('"')[0] for line in lines if "_bucket" in line]
    assert bounds == sorted(bounds, key=float)
    counts = [float(line.rsplit(" ", 1)[1]) for line in lines if "_bucket" in line]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 2)
    [sum_line] = [line for line in lines if "_sum" in line]
    assert abs(float(sum_line.rsplit(" ", 1)[1]) - 0.22) < 1e-9


async def test_the_page_is_read_as_it_was_meant() -> None:
    page = await page_of(answered(0.02), answered(0.2))
    families = {family.name: family for family in text_string_to_metric_families(page)}
    [sample] = families["api_requests"].samples
    assert (sample.name, sample.value) == ("api_requests_total", 2.0)
    assert sample.labels == {"method": "GET", "endpoint": "/health", "status": "200"}
    assert {sample.labels["process"].split("-")[0] for sample in families["memory_usage_bytes"].samples} == {"worker"}
    assert len(families["memory_usage_bytes"].samples) == 2
    assert all(family.documentation for family in families.values())
