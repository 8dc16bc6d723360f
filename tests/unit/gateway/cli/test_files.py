"""Files that are read and written where somebody has laid links, pipes and other names."""

import os
import shutil
from pathlib import Path

import pytest

from gateway.cli import safe_files
from gateway.cli.photo_paths import Layout, NamedPhoto, PhotoFile
from gateway.cli.safe_files import NotRegularError, Results, open_regular, read_regular

DESCRIPTORS = Path("/proc/self/fd")


def photo(results: Results, name: str = "1", layout: Layout = Layout.FOLDERS) -> PhotoFile:
    return PhotoFile(NamedPhoto(Path("1.jpg")), results, Path(name), layout)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_results_are_written_below_the_folder(tmp_path: Path) -> None:
    path = photo(Results(tmp_path)).save("person_0/dress_mask.png", b"mask")
    assert path == tmp_path / "1" / "person_0" / "dress_mask.png"
    assert path.read_bytes() == b"mask"
    assert tree(tmp_path) == ["1", "1/person_0", "1/person_0/dress_mask.png"]


HOSTILE = [
    *("../x.png", "a/../../x.png", "/etc/x.png", "", ".", "..", "a//x.png", "./x.png", ".bashrc", "a/.ssh/x"),
    *("a\\..\\x.png", "C:x.png", "a\nb.png", "\x1b[2J.png", "\u202egnp.x", "a\0b", "\udcff", "x" * 256),
    *("a/" * 20 + "x", "a|x", "x?", "*.png", "~\x7f/x"),
]  # fmt: skip


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_artifact_name_of_a_server_leads_out_of_the_folder(tmp_path: Path, name: str, layout: Layout) -> None:
    with pytest.raises(PermissionError):
        photo(Results(tmp_path / "out"), layout=layout).save(name, b"mask")
    assert tree(tmp_path) == []


@pytest.mark.parametrize("path", ["x", "out", "out/../x", "out/a/../../x", "outer/x"])
def test_a_path_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(PermissionError):
        Results(tmp_path / "out").write(tmp_path / path, b"x")
    assert tree(tmp_path) == []


def test_a_link_in_the_place_of_a_result_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept.jpg", tmp_path / "out"
    kept.write_bytes(b"photo")
    out.mkdir()
    (out / "1.jpg").symlink_to(kept)
    written = photo(Results(out), layout=Layout.MIRROR).save("blurred.jpg", b"copy")
    assert written == out / "1.jpg"
    assert (kept.read_bytes(), written.read_bytes(), written.is_symlink()) == (b"photo", b"copy", False)
    assert tree(out) == ["1.jpg"]


def test_a_hard_link_in_the_place_of_a_result_is_replaced_and_its_other_name_kept(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept.jpg", tmp_path / "out"
    kept.write_bytes(b"photo")
    out.mkdir()
    os.link(kept, out / "1.jpg")
    photo(Results(out), layout=Layout.MIRROR).save("blurred.jpg", b"copy")
    assert kept.read_bytes() == b"photo"


@pytest.mark.parametrize("place", ["1", "1/person_0"])
def test_a_link_to_a_folder_among_the_results_is_not_followed(tmp_path: Path, place: str) -> None:
    away, link = tmp_path / "away", tmp_path / "out" / place
    away.mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(away)
    with pytest.raises(OSError, match="A link lies there") as caught:
        photo(Results(tmp_path / "out")).save("person_0/x.png", b"mask")
    assert caught.value.filename == str(link)
    assert tree(away) == []
    assert tree(tmp_path / "out") == [place] if place == "1" else ["1", place]


def test_the_folder_for_results_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    photo(Results(tmp_path / "out")).save("x.png", b"mask")
    assert (tmp_path / "disk" / "1" / "x.png").read_bytes() == b"mask"


def test_nothing_is_written_when_a_folder_is_swapped_for_a_link_during_a_write(tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    away.mkdir()
    with Results(out).draft(out / "a" / "x.png") as draft:
        (out / "a").rename(tmp_path / "moved")
        (out / "a").symlink_to(away)
        os.write(draft.descriptor, b"mask")
        draft.keep()
    assert tree(away) == []
    assert (tmp_path / "moved" / "x.png").read_bytes() == b"mask"


@pytest.mark.parametrize("second", ["x.png", "X.PNG"])
def test_a_second_result_at_the_same_path_is_an_error(tmp_path: Path, second: str) -> None:
    results = Results(tmp_path)
    photo(results, "a").save("person_0/x.png", b"first")
    with pytest.raises(FileExistsError, match="Another result of this run"):
        photo(results, "a/person_0").save(second, b"second")
    assert (tmp_path / "a" / "person_0" / "x.png").read_bytes() == b"first"
    photo(Results(tmp_path), "a").save("person_0/x.png", b"of a later run")
    assert (tmp_path / "a" / "person_0" / "x.png").read_bytes() == b"of a later run"


def test_a_result_that_is_not_saved_leaves_no_file_and_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    results = Results(out)
    with results.draft(out / "a" / "b" / "x.png") as draft:
        os.write(draft.descriptor, b"half")
    assert tree(tmp_path) == ["new"]
    results.write(out / "a" / "b" / "x.png", b"whole")
    (out / "a" / "kept").touch()
    with results.draft(out / "a" / "c" / "x.png"):
        pass
    assert tree(out) == ["a", "a/b", "a/b/x.png", "a/kept"]


def test_a_folder_where_a_result_goes_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "1" / "x.png" / "full").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        photo(Results(tmp_path)).save("x.png", b"mask")
    assert tree(tmp_path) == ["1", "1/x.png", "1/x.png/full"]


def test_writing_leaves_no_open_descriptor(tmp_path: Path) -> None:
    before, results = len(list(DESCRIPTORS.iterdir())), Results(tmp_path)
    for number in range(3):
        path = tmp_path / "a" / str(number)
        results.write(path, b"x")
        for hindered in (path, path / "below"):
            with pytest.raises(OSError, match=r"there|Not a directory"):
                results.write(hindered, b"x")
        read_regular(path, tmp_path)
    assert len(list(DESCRIPTORS.iterdir())) == before


def test_a_path_that_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path, Path("/dev/zero"), Path("/dev/tty0")):
        with pytest.raises(OSError, match=r"regular|No such|denied"):
            read_regular(path)
    with pytest.raises(NotRegularError):
        open_regular(tmp_path / "pipe.jpg", tmp_path)


def test_a_found_photo_that_was_replaced_by_a_link_is_not_read(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret.jpg", tmp_path / "photos" / "a"
    secret.write_bytes(b"secret")
    folder.mkdir(parents=True)
    path = folder / "secret.jpg"
    path.write_bytes(b"photo")
    named = NamedPhoto(path, below=tmp_path / "photos")
    assert named.read() == b"photo"
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(OSError, match="A link lies there"):
        named.read()
    assert NamedPhoto(path).read() == b"secret", "as the user's word a link is followed"
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path)
    with pytest.raises(OSError, match="A link lies there"):
        named.read()


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_files, "MOST_BYTES", 2**20)
    with (tmp_path / "1.jpg").open("wb") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(OSError, match="Larger than 1 MiB"):
        read_regular(tmp_path / "1.jpg")
