import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.intake.multipart import Part, PartParser
from gateway.intake.requests import upload_name

KIND = "multipart/form-data; boundary=edge"


def encode(*parts: bytes, head: bytes = b'Content-Disposition: form-data; name="files"; filename="a.png"') -> bytes:
    return b"".join(b"--edge\r\n" + head + b"\r\n\r\n" + part + b"\r\n" for part in parts) + b"--edge--\r\n"


def test_a_part_is_given_as_soon_as_it_is_complete() -> None:
    body = encode(b"one", b"two")
    middle = body.index(b"two")
    parser = PartParser(KIND, ("files",))
    assert [part.data for part in parser.feed(body[:middle])] == [b"one"]
    assert [part.data for part in parser.feed(body[middle:])] == [b"two"]
    parser.finish()


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=4), st.integers(1, 400), st.integers(0, 60))
def test_a_too_large_part_is_counted_and_not_stored(contents: list[bytes], step: int, most: int) -> None:
    body, parser = encode(*contents), PartParser(KIND, ("files",), max_bytes=most)
    parts = [part for start in range(0, len(body), step) for part in parser.feed(body[start : start + step])]
    parser.finish()
    assert [part.size for part in parts] == [len(content) for content in contents]
    assert [part.data for part in parts] == [content if len(content) <= most else b"" for content in contents]


def test_a_part_has_the_names_of_its_field_and_its_file() -> None:
    (part,) = PartParser(KIND, ("files",)).feed(
        encode(b"x", head='content-disposition: form-data; name="f"; filename="ä.png"'.encode())
    )
    assert (part.name, part.file_name) == ("f", "ä.png")
    (part,) = PartParser(KIND, ("files",)).feed(encode(b"x", head=b'Content-Disposition: form-data; name="f"'))
    assert part.file_name == ""


def test_a_head_without_end_is_refused() -> None:
    parser = PartParser(KIND, ("files",))
    parser.feed(b"--edge\r\nX: ")
    with pytest.raises(Problem, match="invalid_multipart"):
        parser.feed(b"x" * 10_000)


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(Problem, match="At most 3 parts"):
        PartParser(KIND, ("files",), max_parts=3).feed(encode(*[b""] * 4))


@given(st.text(max_size=300))
def test_a_files_name_fits_into_a_line_and_has_no_folders(text: str) -> None:
    header = b'form-data; name="f"; filename="' + text.encode("utf-8", "replace") + b'"'
    name = upload_name(Part(headers=[(b"Content-Disposition", header)]))
    assert name
    assert len(name) <= 255
    assert name.isprintable()
    assert "/" not in name


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"C:\\a\\b.png", "b.png"),
        (b"../../b.png", "b.png"),
        (b"..", "image"),
        (b" . ", "image"),
        (b"", "image"),
        (b"\x00\x1f", "image"),
    ],
)
def test_a_file_name_is_shortened_to_its_last_part(given: bytes, kept: str) -> None:
    header = b'form-data; name="f"; filename="' + given.replace(b"\\", b"\\\\") + b'"'
    assert upload_name(Part(headers=[(b"Content-Disposition", header)])) == kept
