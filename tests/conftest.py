"""Fixtures that every test may use."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import certifi
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from typing_extensions import override
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.processes import leftovers
from tests.servers import S3Server, fresh_database, running_kafka, running_postgres, running_s3
from tests.stack import CHECKOUT, RunningStack, SharedStack

SAMPLES = CHECKOUT / "checkpoints" / "files"

# A shell that runs the tests in the background has them ignored, and all that they start; so has nohup the end of the
# terminal. What handles a signal starts programs that do not ignore it.
if threading.current_thread() is threading.main_thread():
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or "PYTEST_XDIST_WORKER" in os.environ:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run that is told to stop ends what it started

# Marks all that the tests start, and what that starts, so that what is left at their end can be named.
os.environ.setdefault("MASKWRIGHT_TESTS", uuid4().hex)

STACK = SharedStack(Path(f"/var/tmp/maskwright-tests-{os.environ['MASKWRIGHT_TESTS']}"))

# No test asks the machine that it runs on for keys.
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

# No test asks a server of the Internet: see _one_authority.
for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
    os.environ.pop(variable, None)

# How far Hypothesis looks: in each run of the tests, on each further Python, and in `make properties`. The first
# example in a clean checkout waits for Hypothesis to read every module and to tabulate Unicode; any may wait on a busy
# machine.
settings.register_profile("usual", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("short", settings.get_profile("usual"), max_examples=10, derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("usual"), max_examples=2000)
settings.load_profile("usual")


@pytest.fixture(scope="session", autouse=True)
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test asks a server of the Internet, and reading all authorities takes each of thousands of clients 20 ms."""
    first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----\n")
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    path.write_text(first + end)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(certifi, "where", lambda: str(path))
        yield


@pytest.fixture(scope="session")
def stack() -> RunningStack:
    """A running stack in the layout of this machine, shared by all tests that do not harm it, in all processes."""
    return STACK.get()


@pytest.fixture(scope="session")
def gateway_url(stack: RunningStack) -> str:
    """The base URL of the shared stack."""
    return stack.url


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """A fresh database on a PostgreSQL of the session."""
    with running_postgres() as server:
        yield fresh_database(server.address)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server of the session."""
    with running_s3() as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server(s3_server: S3Server) -> Iterator[str]:
    """The bootstrap servers of a Kafka of the session."""
    with running_kafka(s3_server) as server:
        yield server.address


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """A photo of one person."""
    return _sample("astronaut.png")


@pytest.fixture(scope="session")
def bus() -> Path:
    """A photo of several people."""
    return _sample("bus.jpg")


@pytest.fixture(scope="session")
def couple(astronaut: Path) -> bytes:
    """A JPEG of two people, far enough apart for the lite detector to see both."""
    one = cv2.imread(str(astronaut))
    between = np.full((one.shape[0], one.shape[1] // 2, 3), 127, np.uint8)
    return cv2.imencode(".jpg", np.hstack([one, between, one]))[1].tobytes()


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    """How often each server is killed: more often in the long form."""
    return 10 if request.config.getoption("--long") else 2


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make chaos` runs the long form."""
    parser.addoption("--long", action="store_true", help="the long form of the chaos tests")


ON_THE_STACK = (
    "tests/chaos/test_hang_ups.py",
    "tests/integration/test_docs.py",
    "tests/integration/test_doors.py",
    "tests/integration/test_rights.py",
    "tests/integration/test_seed_commands.py",
    *(
        f"tests/integration/gateway/test_{name}.py"
        for name in (
            *("batches", "cache", "command", "face_contours", "face_fuzz", "facial_seeds", "hostile", "privacy_blur"),
            *("prometheus", "run", "videos"),
        )
    ),
)
"""Files whose tests count, or must have answered, what they send to the gateway of the shared stack."""
ONE_BY_ONE = (
    "tests/integration/test_commands.py",
    "tests/integration/test_detectors.py",
    "tests/integration/test_launcher.py",
    "tests/integration/worker/test_messages.py",
    "tests/integration/worker/test_worker.py",
)
"""Files with long tests that share nothing of their own."""


def group_of(nodeid: str) -> str:
    """The tests of a group run one after the other, in the same process."""
    file = nodeid.partition("::")[0]
    if file in ON_THE_STACK:
        return "the stack"
    if file.startswith("tests/chaos/"):
        return "chaos"  # each wants the machine
    return nodeid if file in ONE_BY_ONE else file


class _Groups(LoadFileScheduling):
    """Gives each process a group at a time."""

    @override
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """What the tests of a file share is made once."""
    return _Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest groups come first, so that no process works alone in the end."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    group = group_of(nodeid)
    return 0 if group == "the stack" else 1 if group == "chaos" else 2 if group == nodeid else 3


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Fail where anything that the tests started still runs, and end it; in the process that began, not its workers."""
    yield
    if hasattr(session.config, "workerinput"):
        return
    STACK.end()
    if left := leftovers(os.environ["MASKWRIGHT_TESTS"]):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("left running by the tests, killed now:", *left, sep="\n  ", file=sys.stderr)  # noqa: T201


def _sample(name: str) -> Path:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"{name} is not here; `maskwright models fetch` brings it")
    return path
