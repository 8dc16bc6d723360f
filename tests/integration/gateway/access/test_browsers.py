"""What pages of other sites can do from a real browser: nothing, but for those that ALLOWED_ORIGINS names."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.settings import Settings
from tests.chromium import needs_chromium, shown_at, told_by
from tests.integration.gateway.access.credentials import AUDIENCE, ISSUER, SECRET, token
from tests.integration.gateway.jobs.conftest import COMMON
from tests.integration.gateway.jobs.house import JOBS, PHOTO, House, open_house
from tests.ports import free_ports
from tests.web import reply, serving

pytestmark = needs_chromium

ASKING = {"access": "required", "jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
MEMORY = {**COMMON, "db_use_database": False, "minio_endpoint": ""}
PRELUDE = """
const read = async (path, options) => { const answer = await fetch(BASE + path, options);
  return [answer.status, (await answer.text()).length, Object.fromEntries(answer.headers)]; };
const form = new FormData(); form.append("image", new Blob([Uint8Array.from(atob(PHOTO), (c) => c.charCodeAt(0))]));
"""


@asynccontextmanager
async def house_with(**settings: object) -> AsyncIterator[House]:
    async with open_house(Settings(**{**MEMORY, **settings})) as house:
        yield house


def base(house: House, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{house.client.base_url.port}"


def script(house: House, text: str, **values: str) -> str:
    names = {"BASE": base(house), "PHOTO": base64.b64encode(PHOTO).decode(), **values}
    return "".join(f"const {name} = {json.dumps(value)};" for name, value in names.items()) + PRELUDE + text


async def test_a_page_of_another_site_neither_reads_nor_posts(tmp_path: Path) -> None:
    async with house_with(maskwright_home=tmp_path) as house:
        told = await told_by(
            script(
                house,
                """
                for (const path of ["/v1/jobs", "/health", "/metrics", "/openapi.json"])
                  await attempt("read " + path, () => read(path));
                await attempt("post", () => read("/v1/jobs", { method: "POST", body: "x" }));
                await attempt("silent", async () => (await fetch(BASE + "/upload", { method: "POST", mode: "no-cors",
                  body: new FormData() })).type);
                await attempt("form", () => new Promise((done) => {
                  document.body.innerHTML = `<iframe name="in"></iframe><form method="post" target="in"
                    enctype="text/plain" action="${BASE}/api/v1/cache/cleanup"><input name="x" value="y"></form>`;
                  document.querySelector("iframe").onload = () => done("sent");
                  document.querySelector("form").submit(); }));
                await attempt("picture", () => new Promise((done) => { const image = new Image();
                  image.onload = () => done("shown"); image.onerror = () => done("refused");
                  image.src = BASE + "/docs"; }));
                """,
            ),
            tmp_path / "chromium",
        )
        page = await house.client.get("/metrics")
    assert told.pop("form") == "sent"
    assert told.pop("picture") == "refused"
    assert set(told.values()) == {"TypeError: Failed to fetch"}
    served = [
        line for line in page.text.splitlines() if line.startswith("api_requests_total{") and 'method="POST"' in line
    ]
    assert served
    assert all('status="403"' in line for line in served), served


async def test_a_page_that_uses_dns_rebinding_gets_no_answer(tmp_path: Path) -> None:
    """DNS rebinding: the browser takes the gateway for the page's own server, as it is told the page's name."""
    async with house_with(maskwright_home=tmp_path) as house:
        shown = [
            await shown_at(f"{base(house, host)}{JOBS}", tmp_path / host) for host in ("localhost", "page.example")
        ]
    assert '"jobs":' in shown[0]
    assert '"host_not_allowed"' in shown[1]
    assert '"jobs":' not in shown[1]


async def test_content_influenced_by_a_caller_runs_no_script_when_opened(tmp_path: Path) -> None:
    """Both would write into the document; the same SVG does so where nobody confines it."""
    script = "document.documentElement.setAttribute('data-ran', 'yes')"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg"><style>p {{}}</style><rect/><script>{script}</script></svg>'.encode()
    )
    async with house_with(maskwright_home=tmp_path) as house:
        job = (await house.submit(user_id="1", request_id="r"))["id"]
        await house.complete_with(await house.begin(job), {"drawing.svg": svg})
        shown = await shown_at(f"{base(house)}{JOBS}/{job}/artifacts/drawing.svg", tmp_path / "artifact")
    async with serving(reply(200, svg, Content_Type="image/svg+xml")) as other:
        free = await shown_at(other.url(), tmp_path / "free")
    assert "<rect" in shown
    assert 'data-ran="yes"' not in shown
    assert 'data-ran="yes"' in free


async def test_the_documentation_is_drawn_by_its_own_scripts(tmp_path: Path) -> None:
    async with house_with(maskwright_home=tmp_path) as house:
        docs, redoc = [await shown_at(f"{base(house)}/{page}", tmp_path / page) for page in ("docs", "redoc")]
    assert 'class="opblock' in docs
    assert 'data-section-id="tag/' in redoc


async def test_a_page_that_is_named_works_with_jobs(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    asking = {**ASKING, "allowed_origins": ("https://*.example.com", f"http://page.example:{port}")}
    text = """
        const headers = { Authorization: "Bearer " + TOKEN };
        await attempt("submit", () => read("/v1/jobs", { method: "POST", body: form,
          headers: { ...headers, "Idempotency-Key": "one" } }));
        const job = told.submit[2].location;
        await attempt("nobody", () => read("/v1/jobs"));
        await attempt("large", () => read("/v1/run/body_masks", { method: "POST", body: new Uint8Array(5000), headers:
          { ...headers, "Content-Type": "image/png" } }));
        await attempt("head", () => read(job, { method: "HEAD", headers }));
        await attempt("ticket", async () => { const answer = await fetch(`${BASE}${job}/events/ticket`,
          { method: "POST", headers }); return answer.json(); });
        const watch = (ticket) => new Promise((done) => {
          const events = new EventSource(`${BASE}${job}/events?ticket=${ticket}`);
          events.addEventListener("state", (event) => { done(JSON.parse(event.data).state); events.close(); });
          events.onerror = () => done("refused"); });
        await attempt("watched", () => watch(told.ticket.ticket));
        await attempt("forged", () => watch(told.ticket.ticket.slice(0, -4) + "aaaa"));
        await attempt("delete", () => read(job, { method: "DELETE", headers }));
    """
    async with house_with(maskwright_home=tmp_path, max_body_bytes=4096, **asking) as house:
        told = await told_by(script(house, text, TOKEN=token()), tmp_path / "chromium", page_port=port)
    status = {name: value[0] for name, value in told.items() if isinstance(value, list)}
    assert status == {"submit": 202, "nobody": 401, "large": 413, "head": 200, "delete": 204}, told
    assert (told["watched"], told["forged"]) == ("queued", "refused")
    shown = told["submit"]
    assert isinstance(shown, list)
    assert shown[2]["x-request-id"]
    head = told["head"]
    assert isinstance(head, list)
    assert head[1] == 0
