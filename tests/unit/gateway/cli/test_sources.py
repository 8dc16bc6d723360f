from pathlib import Path

from gateway.cli.sources import find_sources


def test_files_and_addresses_get_folders_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    names = [str(tmp_path), "https://example.com/x/a.jpg?size=1", "s3://masks/b.png", "s3://masks/b.png"]
    sources = find_sources(names, Path("out"))
    assert [source.location_kind for source in sources] == [None, "url", "s3"]
    assert [source.name for source in sources] == [str(tmp_path / "a.jpg"), *names[1:3]]
    assert len({source.target for source in sources}) == 3
    assert sources[2].target == Path("out/b")
    assert sources[0].read() == b"photo"


def test_without_a_folder_nothing_is_saved() -> None:
    (source,) = find_sources(["https://example.com/a.jpg"], None)
    assert source.target is None


def test_each_photo_is_a_request_of_its_own() -> None:
    sources = find_sources(["https://example.com/a.jpg", "https://example.com/b.jpg"], None)
    assert len({source.key for source in sources}) == 2
