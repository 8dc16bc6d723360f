"""Pages in a real browser: a page of any site runs a script of the test, and says what came of it."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.web import Asked, reply, serving

_PROGRAM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(_PROGRAM is None, reason="chromium is not installed")
_TIME_S = 30.0
_SETTLED_MS = 5000
"""Of the page's own time, in which its scripts fetch and draw; it passes as fast as they do."""

_PAGE = """<!doctype html><meta charset="utf-8"><title>test</title><script>
const told = {};
const attempt = async (name, work) => {
  try { told[name] = await work(); } catch (error) { told[name] = String(error); } };
(async () => { SCRIPT
await fetch("/told", { method: "POST", body: JSON.stringify(told) }); })();
</script>"""


async def told_by(script: str, folder: Path, host: str = "page.example", page_port: int = 0) -> dict[str, object]:
    """What a script tells with `await attempt(name, async () => …)`, on a page of http://HOST:port.

    Every name that ends in `.example` leads to this machine, as a hostile name server's does.
    """
    told: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.target == "/told":
            told.set_result(json.loads(asked.body))
        page = _PAGE.replace("SCRIPT", script).encode() if asked.target == "/" else b""
        await reply(200, page, Content_Type="text/html", Connection="close")(asked, writer)

    async with serving(answer, port=page_port) as web:
        browser = await _started(web.url("/", host), folder)
        try:
            return await asyncio.wait_for(told, _TIME_S)
        finally:
            browser.terminate()
            await browser.wait()


async def shown_at(url: str, folder: Path) -> str:
    """The document that the browser shows at an address."""
    browser = await _started(url, folder, "--dump-dom", f"--virtual-time-budget={_SETTLED_MS}")
    document, _ = await asyncio.wait_for(browser.communicate(), _TIME_S)
    return document.decode()


async def _started(url: str, folder: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(_PROGRAM), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        f"--user-data-dir={folder}", "--host-resolver-rules=MAP *.example 127.0.0.1", *options, url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
