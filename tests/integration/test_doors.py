"""Every socket of the stack, and what it does for nobody: for another user of the machine, for a page of another site.

`docs/security.md` has the same sockets as a table.
"""

import asyncio
import contextlib
import json
import os
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path

import asyncpg
import grpc
import httpx
import pytest
import tritonclient.grpc as grpcclient
from minio import Minio
from tritonclient.utils import InferenceServerException

from deploy.embedded.s3_kafka import GRPC_OFFSET, PARTS, write_certificate
from deploy.embedded.triton_wheel import listening_options
from tests.chromium import needs_chromium, told_by
from tests.model_server import serving_models
from tests.ports import free_ports
from tests.sockets import listening
from tests.stack import CHECKOUT, RunningStack, eventually
from tests.triton_client import run_pipeline

HOST = "127.0.0.1"
PORTS = ("PORT", "WORKER_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT", "POSTGRES_PORT", "KAFKA_PORT")
TEXT = {"Content-Type": "text/plain"}
"""What a page may send anywhere without having asked."""
BUCKET = "doors"
MASK = b"a mask"
WAIT_S = 10.0
PAGE = os.sysconf("SC_PAGESIZE")
MOST_KEPT = 50 * 10**6
"""Bytes that a server may hold more after 100 MB that were no request."""


def ports(stack: RunningStack) -> dict[str, int]:
    """Each TCP port by its name in `docs/security.md`."""
    named = {name: int(stack.environment[name]) for name in PORTS}
    s3 = {f"S3_PORT {part}": int(stack.environment["S3_PORT"]) + number for number, part in enumerate(PARTS)}
    return {**named, **s3, **{f"{name} gRPC": port + GRPC_OFFSET for name, port in s3.items()}}


def unix_sockets(stack: RunningStack) -> dict[str, Path]:
    """Each unix socket by its name there."""
    first = int(stack.environment["S3_PORT"])
    number = {part: first + place for place, part in enumerate(PARTS)}
    number |= {f"{part}-grpc": port + GRPC_OFFSET for part, port in number.items()}
    names = ("s3", "filer", *(f"{part}-grpc" for part in PARTS))
    return {f"seaweedfs-{name}": Path(f"/tmp/seaweedfs-{name}-{number[name]}.sock") for name in names}


def test_the_stack_listens_only_on_the_documented_ports(stack: RunningStack) -> None:
    tcp = {f"tcp {HOST}:{port}" for port in ports(stack).values()}
    unix = {f"unix {path}" for path in unix_sockets(stack).values()}
    assert listening(stack.launcher_pid) == tcp | unix


def test_the_documented_table_has_every_socket(stack: RunningStack) -> None:
    page = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip().replace("`", "") for line in page.splitlines() if line.startswith("| `")}
    optional = {"API_PORT", "TRITON_HTTP_PORT", "PROMETHEUS_PORT"}
    assert rows == {*ports(stack), *unix_sockets(stack)} - {"PORT"} | optional


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that foreign code would make."""
    return tmp_path / "foreign code was here"


def foreign_model(marker: Path) -> tuple[str, bytes]:
    """The configuration, and the code, of a model that leaves a file."""
    tensor = {"data_type": "TYPE_STRING", "dims": [1]}
    config = {"backend": "python", "input": [{"name": "a", **tensor}], "output": [{"name": "b", **tensor}]}
    return json.dumps(config), f"open({str(marker)!r}, 'w')\nclass TritonPythonModel: pass\n".encode()


def test_triton_refuses_changes_over_grpc(stack: RunningStack, marker: Path, astronaut: Path) -> None:
    config, code = foreign_model(marker)
    before = run_pipeline(stack.triton, "body_masks_lite", astronaut.read_bytes(), {})
    with grpcclient.InferenceServerClient(stack.triton) as client:
        orders: Mapping[str, Callable[[], object]] = {
            "load": lambda: client.load_model("x", config=config, files={"file:1/model.py": code}),
            "load again": lambda: client.load_model("body_masks_lite"),
            "unload": lambda: client.unload_model("body_masks_lite"),
            "memory": lambda: client.register_system_shared_memory("x", "/anything", 1),
            "memory of a GPU": lambda: client.register_cuda_shared_memory("x", b"", 0, 1),
            "list of memory": client.get_system_shared_memory_status,
            "trace": lambda: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}),
            "log": lambda: client.update_log_settings({"log_verbose_level": 4}),
        }
        taken = [name for name, order in orders.items() if not _is_refused(order)]
    assert taken == []
    assert not marker.exists()
    assert run_pipeline(stack.triton, "body_masks_lite", astronaut.read_bytes(), {}) == before


def _is_refused(order: Callable[[], object]) -> bool:
    try:
        order()
    except InferenceServerException:
        return True
    return False


@pytest.fixture(scope="module")
def triton_http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Triton without a model that was asked to speak HTTP."""
    home = tmp_path_factory.mktemp("http")
    (home / "models").mkdir()
    (port,) = free_ports(1)
    with serving_models(home, home / "models", http_port=port):
        eventually(lambda: _is_served(port), 3 * WAIT_S, "Triton answers by HTTP")  # it is ready by gRPC before
        yield port


def _is_served(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://{HOST}:{port}/v2/health/ready", trust_env=False).is_success
    return False


@pytest.mark.parametrize(
    "path",
    [
        "repository/models/x/load",
        "repository/models/x/unload",
        "repository/index",
        "systemsharedmemory/region/x/register",
        "cudasharedmemory/region/x/register",
        "trace/setting",
        "logging",
    ],
)
def test_triton_refuses_changes_over_http(triton_http: int, path: str, marker: Path) -> None:
    config, code = foreign_model(marker)
    body = {"parameters": {"config": config, "file:1/model.py": b64encode(code).decode()}}
    url = f"http://{HOST}:{triton_http}/v2"
    answer = httpx.post(f"{url}/{path}", content=json.dumps(body), headers=TEXT, trust_env=False)
    assert answer.status_code == httpx.codes.FORBIDDEN, answer.text
    assert not marker.exists()
    assert httpx.get(f"{url}/health/ready", trust_env=False).status_code == httpx.codes.OK


def test_tritons_restricted_key_cannot_be_sent_as_a_header(triton_http: int) -> None:
    """Whoever looks at the list of processes reads it."""
    (option,) = (one for one in listening_options(1, 2, triton_http) if "http-restricted" in one)
    name = option.partition(":")[2].partition("=")[0]
    with socket.create_connection((HOST, triton_http), WAIT_S) as connection:
        connection.sendall(f"GET /v2/logging HTTP/1.1\r\nHost: x\r\n{name}: x\r\n\r\n".encode())
        assert b" 403 " in connection.recv(1024)


@pytest.fixture(scope="module")
def s3(stack: RunningStack) -> Minio:
    """A client with the keys, which has stored a mask."""
    given = stack.addresses()
    client = Minio(given["MINIO_ENDPOINT"], given["MINIO_ACCESS_KEY"], given["MINIO_SECRET_KEY"], secure=False)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    client.put_object(BUCKET, "mask", BytesIO(MASK), len(MASK))
    return client


def stored(s3: Minio) -> dict[str, bytes]:
    return {one.object_name: s3.get_object(BUCKET, one.object_name).data for one in s3.list_objects(BUCKET)}


PATHS = {
    "s3": ("/", f"/{BUCKET}/", f"/{BUCKET}/mask", "/?Action=ListUsers&Version=2010-05-08"),
    "master": ("/dir/assign", "/dir/status", "/vol/grow?count=1", "/vol/status", "/col/delete", "/submit", "/1,01"),
    "filer": (
        "/",
        f"/buckets/{BUCKET}/",
        f"/buckets/{BUCKET}/mask",
        f"/buckets/{BUCKET}/mask?metadata=true",
        "/.tus/x",
    ),
    "volume": ("/1,01637037d6", "/1/01637037d6", "/3,02637037d6", "/ui/index.html", "/debug/pprof/"),
    "admin": ("/", "/api/topology", "/login", "/debug/pprof/"),
}


@pytest.mark.parametrize(("part", "path"), [(part, path) for part, paths in PATHS.items() for path in paths])
def test_s3_refuses_unsigned_requests(stack: RunningStack, s3: Minio, part: str, path: str) -> None:
    address = f"{HOST}:{ports(stack)[f'S3_PORT {part}']}{path}"
    answers = set()
    with httpx.Client(verify=False, trust_env=False, timeout=WAIT_S) as client:  # noqa: S501
        for method in ("GET", "POST", "PUT", "DELETE"):
            files = {"file": ("mask", b"foreign")} if method in ("POST", "PUT") else None
            for scheme in ("http", "https"):
                with contextlib.suppress(httpx.TransportError):
                    answers.add(client.request(method, f"{scheme}://{address}", files=files).status_code)
    assert answers
    assert answers <= ({400, 403, 405} if part == "s3" else {400})
    assert stored(s3) == {"mask": MASK}


@pytest.mark.parametrize("part", PARTS)
def test_only_the_parts_of_s3_can_call_one_another(stack: RunningStack, part: str, tmp_path: Path) -> None:
    ours = (stack.home / "data" / "s3.pem").read_bytes()
    write_certificate(tmp_path / "theirs.pem")
    theirs = (tmp_path / "theirs.pem").read_bytes()
    path, port = unix_sockets(stack)[f"seaweedfs-{part}-grpc"], ports(stack)[f"S3_PORT {part} gRPC"]
    keys = {"nothing": (), "no certificate": (ours,), "a certificate of their own": (ours, theirs, theirs)}
    for address in (f"unix:{path}", f"{HOST}:{port}"):
        answers = {name: _answer(address, key) for name, key in keys.items()}
        assert answers == dict.fromkeys(keys, grpc.StatusCode.UNAVAILABLE)
    assert _answer(f"{HOST}:{port}", (ours, ours, ours)) is grpc.StatusCode.UNIMPLEMENTED


def _answer(address: str, key: tuple[bytes, ...]) -> grpc.StatusCode:
    """What a call that does not exist is answered, shown a root, a key and a certificate, or in plain text."""
    channel = (
        grpc.secure_channel(address, grpc.ssl_channel_credentials(*key)) if key else grpc.insecure_channel(address)
    )
    with channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/nobody/Knows")(b"", timeout=WAIT_S)
    return refused.value.code()


def test_tritons_metrics_port_answers_only_metrics(stack: RunningStack) -> None:
    base = f"http://{HOST}:{ports(stack)['TRITON_METRICS_PORT']}"
    with httpx.Client(trust_env=False, timeout=WAIT_S) as client:
        assert "nv_inference_count" in client.get(f"{base}/metrics").text
        for path in ("/metrics", "/v2/repository/models/x/load", "/v2/models/body_masks_lite/infer"):
            assert client.post(f"{base}{path}", content=b"{}", headers=TEXT).is_error


async def test_postgres_refuses_a_login_without_the_password(stack: RunningStack) -> None:
    for password in (None, "", "postgres"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host=HOST, port=ports(stack)["POSTGRES_PORT"], user="maskwright", password=password, database="postgres"
            )


@pytest.mark.parametrize(
    ("service", "setting"), [("postgres", "POSTGRES_PORT"), ("kafka", "KAFKA_PORT"), ("triton", "TRITON_GRPC_PORT")]
)
def test_a_cross_protocol_post_of_a_page_has_no_effect(stack: RunningStack, service: str, setting: str) -> None:
    """The broker reads its first four letters as a length of more than a gigabyte."""
    pid = stack.pid(service)
    before = _resident(pid)
    for _ in range(10):
        with socket.create_connection((HOST, ports(stack)[setting]), WAIT_S) as web, contextlib.suppress(OSError):
            web.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + bytes(10**7))
    eventually(lambda: _resident(pid) - before < MOST_KEPT, WAIT_S, f"{service} has let go of it")
    assert stack.pid(service) == pid


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


NOTHING = {"TypeError: Failed to fetch", "TimeoutError: signal timed out", 403, 405}
"""What comes of an attempt; S3 lets every page read that it is refused."""
PAGE_SCRIPT = """
const targets = TARGETS;
const ask = (url, options) => fetch(url, { ...options, signal: AbortSignal.timeout(3000) });
await Promise.all(targets.flatMap(([name, url, body]) => [
  attempt("read " + name, async () => (await ask(url)).status),
  attempt("post " + name, async () => (await ask(url, { method: "POST", body })).status),
  attempt("put " + name, async () => (await ask(url, { method: "PUT", body })).status),
  attempt("delete " + name, async () => (await ask(url, { method: "DELETE" })).status),
  attempt("blind " + name, async () => (await ask(url, { method: "POST", body, mode: "no-cors" })).type),
]));
"""


def jobs_of(stack: RunningStack) -> set[str]:
    jobs = httpx.get(f"{stack.url}/v1/jobs?limit=200", trust_env=False).raise_for_status().json()["jobs"]
    return {job["id"] for job in jobs}


def processes_of(stack: RunningStack) -> dict[str, int]:
    return {name: stack.pid(name) for name in ("postgres", "s3", "kafka", "triton", "gateway", "worker")}


@needs_chromium
def test_a_page_of_another_site_changes_nothing_at_any_port(
    stack: RunningStack, s3: Minio, marker: Path, tmp_path: Path
) -> None:
    config, code = foreign_model(marker)
    model = json.dumps({"parameters": {"config": config, "file:1/model.py": b64encode(code).decode()}})
    paths = {"PORT": "/v1/jobs", "TRITON_GRPC_PORT": "/v2/repository/models/x/load"}
    paths |= {"S3_PORT s3": f"/{BUCKET}/mask", "S3_PORT filer": f"/buckets/{BUCKET}/mask", "S3_PORT master": "/submit"}
    targets = [
        (name, f"http://{HOST}:{port}{paths.get(name, '/')}", model if "TRITON" in name else "foreign")
        for name, port in ports(stack).items()
    ]
    jobs, processes = jobs_of(stack), processes_of(stack)
    told = asyncio.run(told_by(PAGE_SCRIPT.replace("TARGETS", json.dumps(targets)), tmp_path / "chromium"))
    blind = {name: told.pop(name) for name in list(told) if name.startswith("blind ")}
    assert set(blind.values()) <= {"opaque", *NOTHING}
    assert set(told.values()) <= NOTHING
    assert len(told) == 4 * len(targets)
    assert stored(s3) == {"mask": MASK}
    assert not marker.exists()
    assert jobs_of(stack) == jobs
    assert processes_of(stack) == processes
