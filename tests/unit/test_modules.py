"""What holds for every module of the product."""

import re
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("vision", "steps", "gateway", "exporters", "deploy")
MOST_LINES = 400


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_more_than_400_lines(package: str) -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (CHECKOUT / package).rglob("*.py")}
    assert lengths
    assert {str(path.relative_to(CHECKOUT)): length for path, length in lengths.items() if length > MOST_LINES} == {}


MAP = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = set(
    re.findall(
        r"`((?:vision|steps|gateway|exporters|deploy|ensembles|model_repository|tests|loadtests|docs)/[^`]*)`", MAP
    )
)


def test_every_path_on_the_map_is_there() -> None:
    assert len(NAMED) > 50
    assert {path for path in NAMED if not (CHECKOUT / path).exists()} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_modules_is_on_the_map(package: str) -> None:
    folders = {f"{path.parent.relative_to(CHECKOUT)}/" for path in (CHECKOUT / package).rglob("__init__.py")}
    assert folders - NAMED == set()


def test_every_module_at_the_gateways_root_is_on_the_map() -> None:
    modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "gateway").glob("[!_]*.py")}
    assert modules - NAMED == set()


def test_the_map_draws_the_layers_of_the_contract() -> None:
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract.get("containers") == ["gateway"]]
    drawing = MAP.partition("The packages of the gateway")[2].split("```")[1]
    drawn = [line.split("  ")[0].split(", ") for line in drawing.strip().splitlines()]
    assert drawn == [layer.split(" | ") for layer in layers if layer != "__main__"]
