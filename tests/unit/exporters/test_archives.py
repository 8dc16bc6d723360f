"""What is taken out of archives: the bytes of one file, and no more of them than the catalogue says."""

import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from exporters import packages
from exporters.downloads import Part
from exporters.errors import FetchError

MEMBER = "package/a.bin"


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part(tmp_path / "a.bin.part", 5)


def tarball(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    path = folder / "a.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(name: str = MEMBER, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(folder: Path, content: bytes, mode: int = stat.S_IFREG) -> Path:
    path = folder / "a.whl"
    info = zipfile.ZipInfo(MEMBER)
    info.external_attr = (mode | 0o644) << 16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, content)
    return path


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
@pytest.mark.parametrize("target", ["package/other", "/etc/passwd", "../../etc/passwd"])
def test_a_tarball_member_that_is_not_a_file_is_refused(tmp_path: Path, part: Part, kind: bytes, target: str) -> None:
    path = tarball(tmp_path, (member("package/other"), b"other"), (member(kind=kind, target=target), b""))
    with pytest.raises(FetchError, match="is not a file"):
        packages._unpack_tarball(path, {MEMBER: part})
    assert not part.path.exists()


def test_a_link_in_a_wheel_is_refused(tmp_path: Path, part: Part) -> None:
    with pytest.raises(FetchError, match="is not a file"):
        packages._unpack_wheel(zipped(tmp_path, b"/etc", stat.S_IFLNK), {MEMBER: part})


@pytest.mark.parametrize("kind", ["tarball", "wheel"])
def test_a_member_is_read_up_to_its_size_and_no_further(tmp_path: Path, part: Part, kind: str) -> None:
    def extract(content: bytes) -> None:
        if kind == "tarball":
            packages._unpack_tarball(tarball(tmp_path, (member(), content)), {MEMBER: part})
        else:
            packages._unpack_wheel(zipped(tmp_path, content), {MEMBER: part})

    extract(b"12345")
    assert part.path.read_bytes() == b"12345"
    with pytest.raises(FetchError, match="longer than the 5 bytes"):
        extract(bytes(50_000_000))
    assert not part.path.exists()


def test_a_tarball_that_unpacks_to_more_than_the_bound_is_not_read_on(
    tmp_path: Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "LARGEST_ARCHIVE", 100_000)
    path = tarball(tmp_path, (member("package/bomb"), bytes(200_000)), (member(), b"12345"))
    with pytest.raises(FetchError, match="more than 100000 bytes"):
        packages._unpack_tarball(path, {MEMBER: part})


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_without_end_is_not_read_into_memory(tmp_path: Path, part: Part, kind: bytes) -> None:
    path = tarball(tmp_path, (member(kind=kind), bytes(50_000_000)), (member(), b"12345"))
    tracemalloc.start()
    with pytest.raises(FetchError, match="cannot be unpacked: a header of 50000"):
        packages._unpack_tarball(path, {MEMBER: part})
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE])
def test_member_of_negative_size_is_refused(tmp_path: Path, part: Part, kind: bytes) -> None:
    info = member("package/other", kind)
    info.size = -tarfile.BLOCKSIZE
    path = tmp_path / "a.tgz"
    with gzip.open(path, "wb") as archive:
        archive.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(2 * tarfile.BLOCKSIZE))
    with pytest.raises(FetchError):
        packages._unpack_tarball(path, {MEMBER: part})


def test_member_names_are_not_used_as_paths(tmp_path: Path, part: Part) -> None:
    path = tarball(tmp_path, (member("../../escaped"), b"x"), (member("/escaped"), b"x"), (member(), b"12345"))
    packages._unpack_tarball(path, {MEMBER: part})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.bin.part", "a.tgz"]
    assert not (tmp_path.parents[1] / "escaped").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x1f\x8b garbage", b"PK\x03\x04 garbage"])
def test_a_file_that_is_not_an_archive_gives_an_error(tmp_path: Path, part: Part, content: bytes) -> None:
    path = tmp_path / "archive"
    path.write_bytes(content)
    for extract in (packages._unpack_tarball, packages._unpack_wheel):
        with pytest.raises(FetchError, match="archive cannot be unpacked"):
            extract(path, {MEMBER: part})


@pytest.mark.parametrize("cut", [20, 40])
def test_truncated_archive_gives_an_error(tmp_path: Path, part: Part, cut: int) -> None:
    for path, extract in (
        (tarball(tmp_path, (member(), b"12345")), packages._unpack_tarball),
        (zipped(tmp_path, b"12345"), packages._unpack_wheel),
    ):
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(FetchError, match="cannot be unpacked"):
            extract(path, {MEMBER: part})


def test_a_package_manager_that_writes_too_much_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LARGEST_ARCHIVE", 100_000)
    endless = ["sh", "-c", "sleep 0.2; exec head -c 1000000 /dev/zero > big.whl"]
    with pytest.raises(FetchError, match="failed with exit code"):
        packages.download(endless, tmp_path, {"PATH": "/usr/bin:/bin"}, "*.whl")
    assert (tmp_path / "big.whl").stat().st_size <= 100_000


@pytest.mark.parametrize("line", ["true", "touch a.whl b.whl"])
def test_a_package_manager_that_leaves_no_file_or_several_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(FetchError, match=r"left [02] files \*\.whl"):
        packages.download(["sh", "-c", line], tmp_path, {"PATH": "/usr/bin:/bin"}, "*.whl")
