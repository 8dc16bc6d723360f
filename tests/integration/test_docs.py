"""Every command in the documents works as it is written."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import pytest

from tests.integration.gateway.facial_files import write_case
from tests.stack import CHECKOUT, RunningStack

DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "checkpoints" / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)")
DOCUMENTED_URL = "http://127.0.0.1:8000"
DOCUMENTED_WORKER = "http://127.0.0.1:8004"


def commands(document: Path) -> Iterator[str]:
    for block in SHELL_BLOCK.findall(document.read_text(encoding="utf-8")):
        for line in block.splitlines():
            command = line.split("  #")[0].strip()
            if command:
                yield command


ALL = [(document, command) for document in DOCUMENTS for command in commands(document)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, astronaut: Path, stack: RunningStack) -> Path:
    """photo.jpg, its landmarks and label map, a folder of photos, and the virtual environment as documented."""
    folder = tmp_path_factory.mktemp("docs")
    cv2.imwrite(str(folder / "photo.jpg"), cv2.imread(str(astronaut)))
    with httpx.Client(base_url=stack.url, timeout=60, trust_env=False) as client:
        write_case(folder, client, astronaut)
    nested = folder / "photos" / "2024" / "photo.jpg"
    nested.parent.mkdir(parents=True)
    shutil.copy(folder / "photo.jpg", nested)
    (folder / ".venv").symlink_to(CHECKOUT / ".venv")
    return folder


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_in_the_docs_has_a_target(document: Path) -> None:
    for path, heading in LINK.findall(document.read_text(encoding="utf-8")):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), path
        assert not heading or heading in headings(target), f"{path}#{heading}"


def headings(document: Path) -> set[str]:
    """As the addresses of Markdown's headings are made."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_there_are_commands_to_test() -> None:
    assert len(ALL) > 10


@pytest.mark.parametrize("command", [command for _, command in ALL if command.startswith("make")])
def test_make_targets_exist(command: str) -> None:
    """`make test` runs this test; `make demo`, `up` and `down` run in test_every_command_in_the_docs_runs."""
    assert subprocess.run([*command.split(), "-n"], cwd=CHECKOUT, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("command", [command for _, command in ALL if not command.startswith("make")])
def test_every_command_in_the_docs_runs(stack: RunningStack, workplace: Path, command: str) -> None:
    environment = {**stack.environment, "MASKWRIGHT_URL": stack.url}
    worker = f"http://127.0.0.1:{stack.environment['WORKER_PORT']}"
    here = command.replace(DOCUMENTED_URL, stack.url).replace(DOCUMENTED_WORKER, worker)
    ended = subprocess.run(
        ["/bin/bash", "-ec", here.replace("curl ", "curl -sS --fail-with-body ")],
        cwd=workplace, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    output = re.search(r"-o (\S+)$", command)
    if output:
        written = workplace / output[1]
        assert written.is_dir() or written.stat().st_size > 100


def test_every_row_of_the_table_of_rights_names_existing_tests() -> None:
    page = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8").partition("## Who may do what")[2]
    rows = [line.rstrip("| ").rpartition(" | ")[2] for line in page.splitlines() if line.startswith("|")][2:]
    assert rows
    for named in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", named)
        assert tests, named
        for path, test in tests:
            assert f"def {test}" in (CHECKOUT / path).read_text(encoding="utf-8"), f"{path}::{test}"
