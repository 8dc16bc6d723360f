from pathlib import Path

import pytest

from exporters.catalogue import load
from exporters.errors import FetchError, IntegrityError
from exporters.fetch import State, fetch_all, state
from tests.integration.exporters.conftest import FileServer, Shelf


@pytest.fixture
def catalogued(shelf: Shelf, file_server: FileServer) -> Shelf:
    shelf.add("file.bin", file_server.content, f'{{ type = "url", url = "{file_server.url}" }}')
    return shelf


def fetch(shelf: Shelf) -> list[Path]:
    return fetch_all(paths=shelf.paths)


def test_a_file_is_fetched_once(catalogued: Shelf, file_server: FileServer) -> None:
    (path,) = fetch(catalogued)
    assert path.read_bytes() == file_server.content
    fetch(catalogued)
    assert file_server.ranges == [None]
    assert catalogued.names == ["file.bin"]


def test_a_cut_answer_goes_on_where_it_stopped(catalogued: Shelf, file_server: FileServer) -> None:
    file_server.cuts = [300_000, 200_000]
    fetch(catalogued)
    assert catalogued.content("file.bin") == file_server.content
    assert file_server.ranges == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_call_resumes_an_interrupted_download(catalogued: Shelf, file_server: FileServer) -> None:
    file_server.cuts = [1000, 1000, 1000]
    with pytest.raises(FetchError, match=file_server.url):
        fetch(catalogued)
    assert "file.bin" not in catalogued.names
    fetch(catalogued)
    assert file_server.ranges[-1] == "bytes=3000-"
    assert catalogued.content("file.bin") == file_server.content
    assert catalogued.names == ["file.bin"]


@pytest.mark.parametrize("weakness", ["ignores ranges", "no validator", "weak validator"])
def test_a_server_that_cannot_resume_is_asked_for_the_whole_file(
    catalogued: Shelf, file_server: FileServer, weakness: str
) -> None:
    file_server.resumes = weakness != "ignores ranges"
    file_server.validator = {"no validator": "", "weak validator": 'W/"1"'}.get(weakness)
    file_server.cuts = [300_000]
    fetch(catalogued)
    assert catalogued.content("file.bin") == file_server.content
    if weakness != "ignores ranges":
        assert file_server.ranges == [None, None]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(shelf: Shelf, file_server: FileServer) -> None:
    new, file_server.content = bytes(1_000_000), b"old" * 300_000
    shelf.add("file.bin", new, f'{{ type = "url", url = "{file_server.url}" }}')
    file_server.cuts = [1000, 1000, 1000]
    with pytest.raises(FetchError):
        fetch(shelf)
    file_server.content = new
    fetch(shelf)
    assert shelf.content("file.bin") == new


def test_a_part_longer_than_the_file_is_thrown_away(catalogued: Shelf, file_server: FileServer) -> None:
    catalogued.paths.files.mkdir()
    (catalogued.paths.files / "file.bin.part").write_bytes(bytes(len(file_server.content) + 5))
    (catalogued.paths.files / "file.bin.part.validator").write_text(file_server.etag)
    fetch(catalogued)
    assert catalogued.content("file.bin") == file_server.content


def test_another_file_is_refused_by_name_and_hashes_and_removed(shelf: Shelf, file_server: FileServer) -> None:
    shelf.add("file.bin", file_server.content, f'{{ type = "url", url = "{file_server.url}" }}', sha256="0" * 64)
    with pytest.raises(IntegrityError, match=rf"file\.bin: expected {len(file_server.content)} bytes .* 0{{64}}, got "):
        fetch(shelf)
    assert shelf.names == []


def test_a_missing_file_is_reported(catalogued: Shelf, file_server: FileServer) -> None:
    file_server.statuses = [404] * 5
    with pytest.raises(FetchError, match="404"):
        fetch(catalogued)


def test_a_brief_server_failure_is_retried(catalogued: Shelf, file_server: FileServer) -> None:
    file_server.statuses = [503]
    fetch(catalogued)
    assert catalogued.content("file.bin") == file_server.content


def test_a_damaged_file_is_found_and_fetched_again(catalogued: Shelf, file_server: FileServer) -> None:
    (path,) = fetch(catalogued)
    (entry,) = load(catalogued.paths.catalogue).file
    path.write_bytes(b"x" + file_server.content[1:])
    assert state(entry, catalogued.paths.files) is State.CORRUPT
    fetch(catalogued)
    assert state(entry, catalogued.paths.files) is State.READY


FILES = "http://files.example.com/file.bin"


def test_a_public_host_is_asked_through_the_proxy(
    shelf: Shelf, file_server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.add("file.bin", file_server.content, f'{{ type = "url", url = "{FILES}" }}')
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{file_server.port}")
    monkeypatch.setenv("NO_PROXY", "[::1],fd00::/8,x:y:z")
    fetch(shelf)
    assert shelf.content("file.bin") == file_server.content


def test_this_machine_is_asked_straight_whatever_proxy_there_is(
    catalogued: Shelf, file_server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "socks4://127.0.0.1:9")
    fetch(catalogued)
    assert catalogued.content("file.bin") == file_server.content


def test_a_proxy_that_cannot_be_used_is_named(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.add("file.bin", b"x", f'{{ type = "url", url = "{FILES}" }}')
    monkeypatch.setenv("http_proxy", "socks4://127.0.0.1:9")
    with pytest.raises(FetchError, match=r"http_proxy=socks4://127.0.0.1:9: .* would be right"):
        fetch(shelf)


def test_a_server_that_sends_more_than_the_catalogue_says_is_not_listened_to(
    shelf: Shelf, file_server: FileServer
) -> None:
    shelf.add("file.bin", file_server.content[:1000], f'{{ type = "url", url = "{file_server.url}" }}')
    with pytest.raises(FetchError, match=r"file\.bin is longer than the 1000 bytes"):
        fetch(shelf)
    assert shelf.names == []
