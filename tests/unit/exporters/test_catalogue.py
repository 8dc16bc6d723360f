from pathlib import Path

import pytest

from exporters.catalogue import DEFAULT_PATHS, Catalogue, load
from exporters.errors import CatalogueError, UnknownNameError
from exporters.recipes import RECIPES, select

ENTRY = """
[[file]]
name = "{name}"
kind = "photo"
licence = "CC0-1.0"
bytes = {size}
sha256 = "{digest}"
purpose = "a test"
used_by = [{used_by}]
source = {source}
"""
URL = '{ type = "url", url = "http://example.invalid/a" }'


def entry(name: str = "a.png", size: int = 3, digest: str = "0" * 64, used_by: str = "", source: str = URL) -> str:
    return ENTRY.format(name=name, size=size, digest=digest, used_by=used_by, source=source)


def catalogue(tmp_path: Path, *entries: str) -> Catalogue:
    path = tmp_path / "catalogue.toml"
    path.write_text("".join(entries))
    return load(path)


@pytest.mark.parametrize(
    "broken",
    [
        entry(digest="short"),
        entry(size=0),
        entry(name="../escape"),
        entry(source='{ type = "ftp", url = "x" }'),
        entry(source='{ type = "wheel", package = "x" }'),
        entry() + 'colour = "blue"\n',
        entry() + entry(),
        "[[file]\n",
    ],
)
def test_a_broken_catalogue_is_refused_with_its_path(tmp_path: Path, broken: str) -> None:
    with pytest.raises(CatalogueError, match=r"catalogue\.toml"):
        catalogue(tmp_path, broken)


def test_without_names_only_what_something_uses_is_selected(tmp_path: Path) -> None:
    both = catalogue(tmp_path, entry("used.png", used_by='"demo"'), entry("idle.png"))
    assert [each.name for each in both.select([])] == ["used.png"]
    assert [each.name for each in both.select(["idle.png"])] == ["idle.png"]


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown name: b\.png; known names: a\.png"):
        catalogue(tmp_path, entry()).select(["b.png"])


def test_the_committed_catalogue_is_valid_and_holds_every_recipes_checkpoint() -> None:
    committed = load(DEFAULT_PATHS.catalogue)
    assert {name for recipe in RECIPES for name in recipe.checkpoints} <= set(committed.names)
    assert select([], committed) == list(RECIPES)
