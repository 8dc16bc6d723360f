"""Clients and a proxy that people have, and what they make of `Upgrade`, against our server."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.echo import Served, echoing, statuses
from tests.ports import free_ports

HIDDEN = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"

# Debian's JRE has the compiler that runs a source file.
JAVA = """
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

public class Post {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        BodyPublisher[] bodies = {
            BodyPublishers.ofString(arguments[1]),
            BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(arguments[1].getBytes())),
            BodyPublishers.ofString(arguments[1]),
        };
        for (BodyPublisher body : bodies) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).POST(body).build();
            System.out.println(client.send(request, BodyHandlers.ofString()).body());
        }
    }
}
"""

NODE = """
const http = require('node:http');
const [url, body] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const post = (headers, parts) => new Promise((resolve, reject) => {
  const request = http.request(url, { agent, method: 'POST', headers }, async (response) => {
    console.log(Buffer.concat(await response.toArray()).toString());
    resolve();
  });
  request.on('error', reject);
  parts.forEach((part) => request.write(part));
  request.end();
});
(async () => {
  const offer = { Connection: 'Upgrade', Upgrade: 'h2c' };
  await post({ ...offer, 'Content-Length': body.length }, [body]);
  await post(offer, [body.slice(0, 9), body.slice(9)]);
  console.log(await (await fetch(url, { method: 'POST', body })).text());
  agent.destroy();
})();
"""

NGINX = """
daemon off; master_process off; pid {home}/pid; error_log {home}/error;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  map $http_upgrade $kept {{ default upgrade; '' ''; }}
  upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 1; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://gateway; proxy_http_version 1.1; {buffering}
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $kept; proxy_set_header Host $host;
    }}
  }}
}}
"""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


async def output(*command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return told.decode()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with echoing() as served:
        yield served


def check(told: str, served: Served, requests: int) -> None:
    assert [json.loads(line)["body"] for line in told.splitlines()] == [HIDDEN] * requests
    assert served.echo.seen == ["POST /first"] * requests


@needs("curl")
@pytest.mark.parametrize("more", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]])
async def test_curl_that_offers_http2_is_answered_in_http1(served: Served, more: list[str]) -> None:
    post = ["--http2", "-sSf", "-w", r"\n", *more, "-d", HIDDEN, f"{served.url}/first"]
    told = await output("curl", *post, "--next", *post)
    check(told, served, 2)


@needs("java")
async def test_javas_own_client_is_answered_in_http1(served: Served, tmp_path: Path) -> None:
    if "jdk.compiler" not in await output("java", "--list-modules"):
        pytest.skip("this Java does not run source files; Debian's does")
    source = tmp_path / "Post.java"
    source.write_text(JAVA)
    check(await output("java", "-Xshare:auto", source, f"{served.url}/first", HIDDEN), served, 3)


@needs("node")
async def test_node_that_offers_http2_is_answered_in_http1(served: Served, tmp_path: Path) -> None:
    source = tmp_path / "post.js"
    source.write_text(NODE)
    check(await output("node", source, f"{served.url}/first", HIDDEN), served, 3)


@asynccontextmanager
async def proxied(served: Served, home: Path, buffering: str) -> AsyncIterator[Served]:
    """The same echo, through nginx."""
    (port,) = free_ports(1)
    settings = home / "nginx.conf"
    settings.write_text(NGINX.format(home=home, gateway=served.port, port=port, buffering=buffering))
    nginx = await asyncio.create_subprocess_exec("nginx", "-e", str(home / "error"), "-p", str(home), "-c", settings)
    through = Served(served.echo, port, served.server)
    try:
        async with asyncio.timeout(10):
            while not await answers(through):
                await asyncio.sleep(0.05)
        served.echo.seen.clear()
        served.echo.bodies.clear()
        yield through
    finally:
        nginx.terminate()
        await nginx.wait()


async def answers(served: Served) -> bool:
    try:
        return bool(await served.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    except ConnectionError:
        return False


@needs("nginx")
@pytest.mark.parametrize("buffering", ["", "proxy_request_buffering off;"], ids=["buffered", "streamed"])
@pytest.mark.parametrize("offered", ["h2c", "websocket", "TLS/1.0"])
async def test_behind_a_proxy_that_passes_upgrade_each_client_gets_its_own_answer(
    served: Served, tmp_path: Path, offered: str, buffering: str
) -> None:
    post = f"POST /first HTTP/1.1\r\nHost: x\r\nUpgrade: {offered}\r\nConnection: Upgrade\r\n"
    framings = (
        f"Content-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
        f"Transfer-Encoding: chunked\r\n\r\n{len(HIDDEN):x}\r\n{HIDDEN}\r\n0\r\n\r\n",
    )
    async with proxied(served, tmp_path, buffering) as through:
        for framing in framings:
            reader, writer = await through.connect()
            writer.write((post + framing).encode())
            assert b" 200 OK\r\n" in await reader.readuntil(b"}}")
            received = await through.send(b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert statuses(received) == [200]
            assert b'"path": "/next"' in received
            writer.close()
    assert served.echo.seen == ["POST /first", "GET /next"] * 2
    assert served.echo.bodies == [HIDDEN.encode(), b""] * 2
