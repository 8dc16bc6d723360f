"""What holds for every module of the product."""

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
