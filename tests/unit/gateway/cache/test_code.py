from pathlib import Path

from gateway.cache.results import code_digest, source_digest
from tests.stack import CHECKOUT


def write(folder: Path, **files: str) -> str:
    """The digest of a folder with these modules."""
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return source_digest([folder])


def test_changed_code_is_other_code(tmp_path: Path):
    made = write(tmp_path / "vision", a="x = 1", b="y")
    for number, files in enumerate(
        ({"a": "x = 2", "b": "y"}, {"a": "x = 1", "c": "y"}, {"a": "x = 1"}, {"a": "x = 1y"})
    ):
        other = tmp_path / str(number)
        other.mkdir()
        assert write(other / "vision", **files) != made
    again = tmp_path / "again"
    again.mkdir()
    assert write(again / "vision", b="y", a="x = 1") == made


def test_the_code_digest_covers_steps_and_vision():
    assert code_digest() == source_digest([CHECKOUT / "steps", CHECKOUT / "vision"])
    assert code_digest() != source_digest([CHECKOUT / "steps"])
