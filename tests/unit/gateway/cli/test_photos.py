from pathlib import Path

from gateway.cli.photos import find_photos, plan


def test_files_folders_and_patterns_each_once_in_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/c.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    names = [str(tmp_path / "b.jpg"), str(tmp_path), str(tmp_path / "**" / "*.webp")]
    assert [path.name for path in find_photos(names)] == ["b.jpg", "a.PNG", "c.webp"]


def test_what_is_not_there_is_kept_to_be_reported(tmp_path: Path) -> None:
    names = [str(tmp_path / "none.jpg"), str(tmp_path / "*.jpg")]
    assert [str(path) for path in find_photos(names)] == names


def test_photos_of_one_stem_get_folders_of_their_own() -> None:
    sources = [Path("a/x.jpg"), Path("b/x.png"), Path("y.jpg"), Path("c/x.jpg")]
    planned = {photo.source: photo.target.name for photo in plan(sources, Path("out"))}
    assert list(planned.values()) == ["x.jpg", "x.png", "y", "x.jpg-2"]
    backwards = {photo.source: photo.target.name for photo in plan(sources[2::-1], Path("out"))}
    assert backwards.items() <= planned.items()
