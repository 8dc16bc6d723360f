from pathlib import Path

import pytest

from gateway.cli.photo_finder import Finder, Source, find_sources
from gateway.cli.photo_paths import Layout


def sources(names: list[str], folder: Path | None) -> list[Source]:
    return list(find_sources(names, Finder(), folder, Layout.FOLDERS)[0])


def test_files_and_addresses_get_different_folders(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    names = ["https://example.com/x/a.jpg?size=1", "s3://masks/b.png", "s3://masks/b.png", str(tmp_path)]
    found = sources(names, Path("out"))
    assert [source.location_kind for source in found] == [None, "url", "s3"]
    assert [source.name for source in found] == [str(tmp_path / "a.jpg"), *names[:2]]
    assert len({source.photo.target for source in found if source.photo}) == 3
    assert found[2].photo is not None
    assert found[2].photo.target == Path("out/b")
    assert found[0].read() == b"photo"


def test_urls_that_differ_only_in_host_or_query_get_different_folders() -> None:
    found = sources(
        ["https://one.example/a.jpg", "HTTPS://two.example/a.jpg", "https://two.example/a.jpg?1"], Path("out")
    )
    targets = [source.photo.target for source in found if source.photo]
    assert targets == [Path("out/one.example/a"), Path("out/two.example/a.jpg"), Path("out/two.example/a.jpg-2")]


@pytest.mark.parametrize(
    "address",
    [
        "https://", "https://..", "https://../../x.jpg", "https://h/../../../x.jpg", "https:///etc/x.jpg", "s3://./..",
        "https://h/..%2f..%2fx.jpg", "https://h/...jpg", "https://h/" + "x" * 3000 + ".jpg", "https://h/" + "é" * 200,
        "https://user:s3cret@h/a.jpg", "https://h/a.jpg?X-Amz-Signature=s3cret", "https://h/\x1b[2J.jpg", "HTTPS://?#",
        "https://h/a.jpg/", "https://h//a//b.jpg",
    ],
)  # fmt: skip
def test_results_stay_in_their_folder_for_any_url(tmp_path: Path, address: str) -> None:
    found = sources([address, "https://user:s3cret@other/a.jpg", "https://h/a.jpg"], tmp_path / "out")
    targets = [source.photo.target for source in found if source.photo]
    assert len(set(targets)) == len(targets)
    for source in found:
        assert source.photo is not None
        source.photo.save("x.png", b"mask")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not any("s3cret" in str(path) for path in tmp_path.rglob("*"))


def test_long_names_with_a_common_start_do_not_collide(tmp_path: Path) -> None:
    found = sources([f"https://h/{'x' * 300}{end}.jpg" for end in "ab"], tmp_path)
    assert len({source.photo.target for source in found if source.photo}) == 2


def test_a_file_name_that_looks_like_a_url_is_read_as_a_file() -> None:
    assert [source.location_kind for source in sources(["//[x", "http:1.jpg"], None)] == [None, None]


def test_without_an_output_folder_nothing_is_saved() -> None:
    (source,) = sources(["https://example.com/a.jpg"], None)
    assert source.photo is None


def test_each_photo_has_its_own_idempotency_key() -> None:
    found = sources(["https://example.com/a.jpg", "https://example.com/b.jpg"], None)
    assert len({source.key for source in found}) == 2
