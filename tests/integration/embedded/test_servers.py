"""The embedded PostgreSQL, S3 and Kafka, each by itself."""

import asyncio
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from minio import Minio

from tests.servers import S3Server, Server, fresh_database, running_kafka, running_postgres, running_s3
from tests.stack import eventually

TOO_LONG = 60


def client(server: S3Server) -> Minio:
    return Minio(server.endpoint, server.access_key, server.secret_key, secure=False)


def put(server: S3Server, bucket: str, key: str, content: bytes) -> None:
    if not client(server).bucket_exists(bucket):
        client(server).make_bucket(bucket)
    client(server).put_object(bucket, key, io.BytesIO(content), len(content))


def get(server: S3Server, bucket: str, key: str) -> bytes:
    return client(server).get_object(bucket, key).data


async def execute(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def send(bootstrap: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def receive(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        return [(await asyncio.wait_for(consumer.getone(), TOO_LONG)).value for _ in range(count)]


def comes_back_after(server: Server, number: signal.Signals) -> None:
    old = server.pid
    os.kill(old, number)
    eventually(lambda: server.pid != old and server.is_ready(), TOO_LONG, "the server is back")


async def test_each_test_has_its_own_database(postgres_dsn: str) -> None:
    one, other = fresh_database(postgres_dsn), fresh_database(postgres_dsn)
    await execute(one, "CREATE TABLE mine (id int)")
    assert await execute(one, "SELECT to_regclass('mine')::text") == "mine"
    assert await execute(other, "SELECT to_regclass('mine')") is None


async def test_postgres_compares_text_by_code_points_in_utf8(postgres_dsn: str) -> None:
    assert await execute(postgres_dsn, "SELECT 'B' < 'a' AND lower('Ä') = 'ä'") is True


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server


@pytest.fixture(scope="module")
def kafka(s3: S3Server) -> Iterator[Server]:
    with running_kafka(s3) as server:
        yield server


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_postgres_has_its_rows_after_a_restart(postgres: Server, number: signal.Signals) -> None:
    dsn = fresh_database(postgres.address)
    idle = await asyncpg.connect(dsn)  # a child that outlives its postmaster for a while
    await execute(dsn, "CREATE TABLE kept AS SELECT 7 AS value")
    await asyncio.to_thread(comes_back_after, postgres, number)
    assert await execute(dsn, "SELECT value FROM kept") == 7
    idle.terminate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_s3_has_its_objects_after_a_restart(s3: S3Server, number: signal.Signals) -> None:
    key = f"before {number.name}"
    put(s3, "kept", key, b"x" * 200_000)
    comes_back_after(s3, number)
    assert get(s3, "kept", key) == b"x" * 200_000
    put(s3, "kept", "after", b"y")
    assert get(s3, "kept", "after") == b"y"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_kafka_has_its_messages_after_a_restart(kafka: Server, number: signal.Signals) -> None:
    topic = f"kept_{number.name}"
    await send(kafka.address, topic, b"before")
    await asyncio.to_thread(comes_back_after, kafka, number)
    await send(kafka.address, topic, b"after")
    assert set(await receive(kafka.address, topic, 2)) == {b"before", b"after"}


async def test_a_second_start_on_other_ports_keeps_all_data(tmp_path: Path) -> None:
    with running_postgres(tmp_path) as postgres, running_s3(tmp_path) as s3, running_kafka(s3, tmp_path) as kafka:
        first = {postgres.address, s3.address, kafka.address}
        await execute(postgres.address, "CREATE TABLE kept AS SELECT 7 AS value")
        put(s3, "kept", "key", b"value")
        await send(kafka.address, "kept", b"value")
    with running_postgres(tmp_path) as postgres, running_s3(tmp_path) as s3, running_kafka(s3, tmp_path) as kafka:
        assert not first & {postgres.address, s3.address, kafka.address}
        assert await execute(postgres.address, "SELECT value FROM kept") == 7
        assert get(s3, "kept", "key") == b"value"
        assert await receive(kafka.address, "kept", 1) == [b"value"]


async def test_an_unfinished_cluster_is_made_again(tmp_path: Path) -> None:
    draft = tmp_path / "data" / "postgres.part"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    with running_postgres(tmp_path) as server:
        assert await execute(server.address, "SELECT 1") == 1
    assert not draft.exists()


async def test_a_lock_file_with_another_programs_pid_does_not_block_postgres(tmp_path: Path) -> None:
    """After a crash of the machine, its process id may be somebody else's."""
    with running_postgres(tmp_path):
        lock = (tmp_path / "data" / "postgres" / "postmaster.pid").read_text().splitlines()
    owner = (tmp_path / "data" / "postgres").stat().st_uid
    with running_postgres() as stranger:
        stale = tmp_path / "data" / "postgres" / "postmaster.pid"
        stale.write_text("\n".join([str(stranger.pid), *lock[1:]]))
        os.chown(stale, owner, -1)
        with running_postgres(tmp_path) as server:
            assert await execute(server.address, "SELECT 1") == 1


def test_with_plain_links_anyone_can_read_the_bucket_of_masks_but_not_write() -> None:
    with running_s3(base_url="http://masks.example", minio_bucket="open") as server:
        url = f"http://{server.endpoint}"
        put(server, "open", "user/job/mask.png", b"mask")
        put(server, "closed", "photo", b"photo")
        assert httpx.get(f"{url}/open/user/job/mask.png").content == b"mask"
        refused = [
            httpx.get(f"{url}/closed/photo"),
            httpx.get(f"{url}/open?list-type=2"),
            httpx.get(url),
            httpx.put(f"{url}/open/user/job/mask.png", content=b"other"),
            httpx.delete(f"{url}/open/user/job/mask.png"),
        ]
        assert [answer.status_code for answer in refused] == [403] * 5
        assert get(server, "open", "user/job/mask.png") == b"mask"


def test_without_plain_links_nobody_else_can_read_the_bucket(s3: S3Server) -> None:
    put(s3, "masks", "mask.png", b"mask")
    assert httpx.get(f"http://{s3.endpoint}/masks/mask.png").status_code == 403


def test_s3_leaves_no_socket_after_its_end(tmp_path: Path) -> None:
    with running_s3(tmp_path) as server:
        port = int(server.endpoint.rsplit(":", 1)[1])
        assert list(Path("/tmp").glob(f"seaweedfs-*-{port}.sock"))
    numbers = [port + offset + part for offset in (0, 10_000) for part in range(5)]
    assert [path for number in numbers for path in Path("/tmp").glob(f"seaweedfs-*-{number}.sock")] == []
