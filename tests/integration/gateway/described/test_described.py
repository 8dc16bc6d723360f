"""Every address of the API's description is asked all that it may be asked, and much that it may not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import cv2
import httpx
import pytest

from tests.integration.gateway.access.credentials import AUDIENCE, ISSUER, SECRET, caller
from tests.integration.gateway.described.things import made
from tests.servers import administrator_dsn, fresh_database
from tests.stack import CHECKOUT, RunningStack

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("response_headers_conformance", "invalid_data_is_refused", "unsupported_method", "allow_header_conformance"),
)
FLAGS = ("--continue-on-failure", "--no-color", "--warnings=off", "--request-timeout=30")
SHORT = ("--max-examples=8", "--generation-deterministic")
LONG = ("--max-examples=1000", "--max-time=1800", "--phases=examples,coverage,fuzzing,stateful")
SHOWN_CHARACTERS = 400

Asker = Callable[..., None]


@pytest.fixture(scope="module")
def photos(astronaut: Path) -> list[bytes]:
    """One person in every format."""
    small = cv2.resize(cv2.imread(str(astronaut)), (160, 160), interpolation=cv2.INTER_AREA)
    return [cv2.imencode(f".{suffix}", small)[1].tobytes() for suffix in ("jpg", "png", "webp", "bmp")]


@pytest.fixture
def ask(request: pytest.FixtureRequest, gateways: Callable[..., str], photos: list[bytes], tmp_path: Path) -> Asker:
    """Asks a gateway of its own; the long form is in all phases."""
    extent = LONG if request.config.getoption("--long") else SHORT

    def ask(headers: Mapping[str, str], *flags: str, **settings: str) -> None:
        url, things = gateways(QUEUE_MAX_SIZE="100000", **settings), tmp_path / "things.json"
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            things.write_text(json.dumps(asdict(made(client, photos))))
        assert_described(url, headers, things, (*flags, *extent))

    return ask


def assert_described(url: str, headers: Mapping[str, str], things: Path, flags: Sequence[str]) -> None:
    """Fail with what schemathesis found."""
    named = (f"--header={name}: {value}" for name, value in headers.items())
    options = (*FLAGS, *named, *flags, f"--checks={','.join(CHECKS)}")
    hooks = {"SCHEMATHESIS_HOOKS": "tests.integration.gateway.described.hooks", "THINGS": str(things)}
    run = subprocess.run(
        [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", *options],
        cwd=things.parent,
        env={**os.environ, **hooks, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        check=False,
    )
    lines = run.stdout.decode(errors="replace").splitlines()
    assert run.returncode == 0, "\n".join(line[:SHOWN_CHARACTERS] for line in lines)


def test_every_answer_is_described(ask: Asker, stack: RunningStack) -> None:
    told, name = stack.addresses(), uuid4().hex[:8]
    administrator = administrator_dsn(stack.home, int(stack.environment["POSTGRES_PORT"]))
    own = {"POSTGRES_DSN": fresh_database(administrator), "KAFKA_BOOTSTRAP_SERVERS": ""}
    buckets = {"MINIO_BUCKET": f"masks-{name}", "MINIO_PHOTO_BUCKET": f"photos-{name}"}
    nobody_is_asked = "--generation-with-security-parameters=false"  # a bad token is refused nowhere then
    ask({}, nobody_is_asked, **{**told, **own, **buckets})


def test_every_answer_to_a_known_caller_is_described(ask: Asker) -> None:
    known = {"ACCESS": "required", "JWT_SECRET": SECRET, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
    ask(caller(), "--phases=fuzzing,stateful", DB_USE_DATABASE="false", **known)
