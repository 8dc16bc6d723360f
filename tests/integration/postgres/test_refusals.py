"""Servers and poolers that refuse a connection in hosters' words: what passes is waited for, what stays is told."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.postgres.address import read_address
from gateway.postgres.connection import TRANSIENT, RefusedError, open_session


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The address of a server that answers each client so, TLS refused, and goes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        if answer.startswith(b"E"):
            writer.write(b"N")
            await reader.read(4096)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"postgresql://u:sesame@127.0.0.1:{server.sockets[0].getsockname()[1]}/db"


def refusal(code: str, message: str) -> bytes:
    fields = f"SFATAL\0C{code}\0M{message}\0\0".encode()
    return b"E" + struct.pack("!I", len(fields) + 4) + fields


async def failure(answer: bytes) -> BaseException:
    async with answering(answer) as dsn:
        with pytest.raises((RefusedError, *TRANSIENT)) as caught:
            async with open_session(read_address(dsn)):
                pass
    return caught.value


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("XX000", "MaxClientsInSessionMode: max clients reached"),  # Supabase
        ("XX000", "(ECIRCUITBREAKER) too many authentication errors, new connections are temporarily blocked"),
        ("XX000", "Couldn't connect to compute node"),  # Neon
        ("58000", "could not get connection from the pool - AllServersDown"),  # pgcat
        ("58000", "odyssey: failed to connect to remote server"),
        ("XX000", "all backend nodes are down, pgpool requires at least one valid node"),
        ("08P01", "server login has been failing, cached error: connect failed (server_login_retry)"),  # pgbouncer
        ("53300", "too many connections for role u"),  # Heroku
        ("57P03", "the database system is not yet accepting connections"),
    ],
)
async def test_a_temporary_refusal_is_retried(code, message):
    error = await failure(refusal(code, message))
    assert isinstance(error, TRANSIENT)
    assert message in str(error)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("XX000", "Tenant or user not found"),  # Supabase
        ("XX000", "Endpoint ID is not specified. Either please upgrade the postgres client library"),  # Neon
        ("58000", 'No pool configured for database: "db", user: "u"'),  # pgcat
        ("08P01", "odyssey: c1: route for 'db.u' is not found"),
        ("08004", "codeParamsRoutingFailed: missing cluster identifier"),  # CockroachDB
        ("28000", "This RDS Proxy requires TLS connections"),
        ("28P01", "PAM authentication failed for user u"),  # RDS with IAM
    ],
)
async def test_a_lasting_refusal_is_raised_at_once(code, message):
    error = await failure(refusal(code, message))
    assert isinstance(error, RefusedError)
    assert str(error) == message


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x4a\0\0\0\x0a8.0.36\0", b"-ERR\r\n"])
async def test_an_error_of_another_server_does_not_only_blame_tls(answer):
    error = await failure(answer)
    assert isinstance(error, RefusedError)
    assert "or is no PostgreSQL" in str(error)
