"""Many callers hang up within milliseconds: at Triton's own port that ends Triton 2.51, through the gateway nothing."""

import asyncio
import random
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import cv2
import httpx
import pytest

from tests.chaos import visits
from tests.chaos.messages import Message, post
from tests.chaos.visits import Visit, pay_all
from tests.stack import RunningStack
from tests.triton_client import run_pipeline

CALLERS = 16
HANG_UPS = (visits.leaves_after_upload, visits.leaves_waiting)
STAYS = 50
"""Of so many callers one waits for its answer."""
LONGEST_STAY_S = 0.05
LIVE = Message("live", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
PATIENCE_S = 60.0


@pytest.fixture
def hang_ups(request: pytest.FixtureRequest) -> int:
    return 22_000 if request.config.getoption("--long") else 600


def callers(photo: bytes) -> Iterator[Visit]:
    """All but a few leave after their upload, at once or a little later; no two photos are the same to a cache.

    After each somebody waits for an answer, so that they come no faster than the gateway hears of them.
    """
    dice = random.Random(14)
    for number in count():
        yield Visit(visits.in_turn, (LIVE,))
        manner = visits.in_turn if number % STAYS == 0 else dice.choice(HANG_UPS)
        wire = post(photo + number.to_bytes(4), "application/octet-stream")
        yield Visit(manner, (Message("photo", wire),), dice.random() * LONGEST_STAY_S)


def test_callers_who_hang_up_do_not_end_triton(stack: RunningStack, astronaut: Path, hang_ups: int) -> None:
    photo = cv2.imencode(".jpg", cv2.imread(str(astronaut)))[1].tobytes()
    before, pid = run_pipeline(stack.triton, "body_masks_lite", photo, {}), stack.pid("triton")
    url = httpx.URL(stack.url)
    row = islice(callers(photo), 2 * hang_ups)
    paid = asyncio.run(pay_all(row, url.host, url.port or 80, PATIENCE_S, CALLERS))
    assert {one.answer.status for one in paid if one.answer} == {httpx.codes.OK}
    assert stack.pid("triton") == pid
    assert stack.state()["services"]["triton"]["restarts"] == 0
    assert run_pipeline(stack.triton, "body_masks_lite", photo, {}) == before


def test_triton_listens_on_loopback_alone(stack: RunningStack) -> None:
    ports = {int(stack.environment[f"TRITON_{kind}_PORT"]) for kind in ("GRPC", "METRICS")}
    heard = {(address, port) for address, port in listeners() if port in ports}
    assert {port for _, port in heard} == ports
    assert all(address.endswith("0100007F") for address, _ in heard), heard


def listeners() -> Iterator[tuple[str, int]]:
    """Addresses in hexadecimal, and ports, that this machine listens at; proc_net(5)."""
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A":
                address, port = local.split(":")
                yield address, int(port, 16)
