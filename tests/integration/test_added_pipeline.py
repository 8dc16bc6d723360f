"""A pipeline of another package, as docs/adding_a_pipeline.md shows it, is served like ours."""

import io
import os
import re
import shutil
import site
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.stack import CHECKOUT, RunningStack, running_stack

PACKAGE = Path(__file__).parent / "grey"
PAGE = CHECKOUT / "docs" / "adding_a_pipeline.md"
SHOWN = re.compile(r"^`grey/([^`]+)`:\n\n```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
SIZE = (64, 48)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A virtual environment that has the packages of this one, and the pipeline installed."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (packages / "ours.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    install(PACKAGE, packages)
    return str(folder / "bin" / "python")


def install(package: Path, target: Path) -> None:
    """What pip does, which needs the Internet for it: it fetches the build backend."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shutil.copytree(package / "grey_pipeline", target / "grey_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    metadata = target / f"grey_pipeline-{project['version']}.dist-info"
    metadata.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(head, encoding="utf-8")
    points = [
        line
        for group, named in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in named.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(points) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def grey_stack(tmp_path_factory: pytest.TempPathFactory, python: str) -> Iterator[RunningStack]:
    """A stack that serves nothing else."""
    home = tmp_path_factory.mktemp("grey")
    with running_stack(home, python, PIPELINES="grey", DB_USE_DATABASE="false", WORKER_PROCESSES="1") as stack:
        yield stack


@pytest.fixture(scope="module")
def client(grey_stack: RunningStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=grey_stack.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def photo() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    pixels[:, :32] = (200, 40, 90)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def check_grey(picture: bytes, photo: bytes, brightness: float = 1.0) -> None:
    """As the photo's luma (ITU-R BT.601) is, which Pillow computes on its own."""
    shown = Image.open(io.BytesIO(picture))
    assert (shown.mode, shown.size, shown.format) == ("L", SIZE, "PNG")
    expected = np.asarray(Image.open(io.BytesIO(photo)).convert("L")) * brightness
    assert np.abs(np.asarray(shown) - expected).max() <= 1


def test_the_guide_shows_the_files_of_the_example_package() -> None:
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and path.stat().st_size and path.suffix != ".pyc"}
    shown = {PACKAGE / name: text for name, text in SHOWN.findall(PAGE.read_text(encoding="utf-8"))}
    assert shown == {path: path.read_text(encoding="utf-8") for path in files}


def test_an_added_pipeline_runs_over_http(client: httpx.Client, photo: bytes) -> None:
    answer = client.post("/v1/run/grey", files={"image": photo}, data={"brightness": "0.5"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
    check_grey(answer.content, photo, 0.5)


def test_an_added_pipeline_runs_as_a_job(client: httpx.Client, photo: bytes) -> None:
    job = client.post("/v1/jobs", files={"image": photo}, data={"pipeline": "grey"}).raise_for_status().json()
    events = client.get(f"/v1/jobs/{job['id']}/events").raise_for_status()  # it ends with the job
    assert "completed" in events.text
    check_grey(client.get(f"/v1/jobs/{job['id']}/artifacts/grey.png").raise_for_status().content, photo)


@pytest.mark.parametrize("command", [["run", "grey"], ["submit", "--pipeline", "grey"]])
def test_an_added_pipeline_runs_from_the_command_line(
    grey_stack: RunningStack, python: str, photo: bytes, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "photo.png").write_bytes(photo)
    run = [python, "-m", "gateway", *command, "photo.png", "--output", "out", "--url", grey_stack.url]
    subprocess.run(run, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, check=True, timeout=60)
    check_grey((tmp_path / "out" / "photo" / "grey.png").read_bytes(), photo)


def test_an_added_pipeline_is_documented_counted_and_refuses_bad_photos(client: httpx.Client) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/v1/run/grey"]["post"]
    assert operation["summary"] == "A grey copy of the photo."
    assert [parameter["name"] for parameter in operation["parameters"]] == ["brightness"]
    assert [one["name"] for one in client.get("/v1/pipelines").json()["pipelines"]] == ["grey"]
    assert client.post("/v1/run/grey", files={"image": b"no photo"}).json()["code"] == "image_unsupported"
    assert client.post("/v1/run/grey?brightness=9", files={"image": b"x"}).json()["code"] == "invalid_parameters"
    assert 'task_completions_total{status="completed",type="grey"}' in client.get("/metrics").text
