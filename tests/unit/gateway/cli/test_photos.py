from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.photo_paths import COPY, Layout, NamedPhoto, PhotoFile, folder_of_photos_and_results, plan
from gateway.cli.safe_files import Results

OUT = Path("out")
COPIES = tuple(f"{COPY}{suffix}" for suffix in (".jpg", ".png", ".webp", ".mp4"))


def mirrored(*paths: str, parts: int = 1) -> list[PhotoFile]:
    return plan([NamedPhoto(Path(path), parts) for path in paths], OUT, Layout.MIRROR)


def copies(*paths: str, suffix: str) -> list[str]:
    return [str(photo.place(COPY + suffix)) for photo in mirrored(*paths)]


def test_each_photo_gets_a_folder_with_its_name() -> None:
    planned = plan([NamedPhoto(Path("x/a.jpg")), NamedPhoto(Path("b.png"))], OUT)
    assert [photo.target for photo in planned] == [OUT / "a", OUT / "b"]
    assert planned[0].place("person_0/dress_mask.png") == OUT / "a" / "person_0" / "dress_mask.png"


def test_photos_with_equal_names_keep_enough_parent_folders_to_differ() -> None:
    paths = ("a/x.jpg", "b/x.png", "y.jpg", "c/x.jpg", "b/c/x.jpg")
    planned = {str(photo.source): photo.target for photo in plan([NamedPhoto(Path(path)) for path in paths], OUT)}
    assert planned["b/x.png"] == OUT / "x"
    assert planned["a/x.jpg"] == OUT / "a" / "x"
    assert planned["b/c/x.jpg"] == OUT / "b" / "c" / "x"
    assert planned["c/x.jpg"].parts[-2:] == ("c", "x")
    backwards = {
        str(photo.source): photo.target for photo in plan([NamedPhoto(Path(path)) for path in paths[::-1]], OUT)
    }
    assert backwards == planned


def test_photos_that_differ_only_in_suffix_get_folders_with_their_whole_names() -> None:
    planned = plan([NamedPhoto(Path("1.jpg")), NamedPhoto(Path("1.png"))], OUT)
    assert [photo.target for photo in planned] == [OUT / "1.jpg", OUT / "1.png"]


@pytest.mark.parametrize(
    ("name", "suffix", "copy"),
    [
        ("1.jpg", ".jpg", "1.jpg"),
        ("1.JPG", ".jpg", "1.JPG"),
        ("1.jfif", ".jpg", "1.jfif"),
        ("1.heic", ".jpg", "1.jpg"),
        ("1.jpg", ".png", "1.png"),
        ("1.tar.png", ".webp", "1.tar.webp"),
        ("1.jpg.jpg", ".jpg", "1.jpg.jpg"),
        ("photo", ".jpg", "photo.jpg"),
        ("film.mov", ".mp4", "film.mp4"),
    ],
)
def test_in_a_mirror_the_suffix_of_a_copy_is_that_of_its_format(name: str, suffix: str, copy: str) -> None:
    assert copies(name, suffix=suffix) == [str(OUT / copy)]


def test_a_mirror_gives_photos_that_differ_only_in_suffix_different_paths() -> None:
    names = ("a/1.jpg", "a/1.png", "a/1.HEIC", "a/1.heic.jpg", "a/2.heic")
    made = copies(*names, suffix=".jpg")
    assert made[:3] == [str(OUT / name) for name in ("1.jpg", "1.png.jpg", "1.HEIC.jpg")]
    assert made[4] == str(OUT / "2.jpg")
    assert len({name.casefold() for name in made}) == len(names)


def test_a_photo_and_a_video_with_the_same_stem_keep_their_names_in_a_mirror() -> None:
    photo, film = mirrored("IMG_1.HEIC", "IMG_1.MOV")
    assert photo.place("blurred.jpg") == OUT / "IMG_1.jpg"
    assert film.place("blurred.mp4") == OUT / "IMG_1.mp4"


def test_a_mirror_writes_other_artifacts_beside_the_copy() -> None:
    (photo,) = mirrored("a/1.jpg", parts=2)
    assert photo.place("detections.json") == OUT / "a" / "1.detections.json"
    assert photo.place("blurred.jpg") == OUT / "a" / "1.jpg"


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/etc/x.png"])
def test_no_artifact_is_written_outside_its_folder(layout: Layout, name: str) -> None:
    with pytest.raises(PermissionError):
        PhotoFile(NamedPhoto(Path("1.jpg")), Results(OUT), Path("1"), layout).place(name)


STEMS = st.sampled_from(
    ["1", "1.jpg", "1.heic", "A", "a", "1-2", "1.jpg-2", "é", "\n", "..", "...", ".", "", "CON", "\udcff"]
)
SUFFIXES = st.sampled_from(["", ".jpg", ".JPG", ".png", ".heic", ".jpeg", ".mov", ".mp4"])
PATHS = st.builds("/{}/{}{}".format, st.sampled_from(["a", "b", "a/b", "A"]), STEMS, SUFFIXES)


@given(paths=st.lists(PATHS, unique=True, max_size=12), parts=st.integers(1, 3), layout=st.sampled_from(Layout))
def test_artifacts_of_different_photos_never_collide(paths: list[str], parts: int, layout: Layout) -> None:
    paths = [path for path in paths if path.rpartition("/")[2].strip(".")]
    planned = plan([NamedPhoto(Path(path), parts) for path in paths], OUT, layout)
    assert [str(photo.source) for photo in planned] == paths
    names = (
        COPIES[3:] if photo.is_video and layout is Layout.MIRROR else (*COPIES[:3], "blur.json") for photo in planned
    )
    places = [
        {str(photo.place(name)).casefold() for name in given} for photo, given in zip(planned, names, strict=True)
    ]
    assert len(set(chain.from_iterable(places))) == sum(map(len, places))
    assert all(Path(place).is_relative_to(OUT) and ".." not in Path(place).parts for place in chain(*places))


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize(
    "name",
    [
        "...jpg",
        "..jpg",
        ".jpg",
        "....jpg",
        "..a",
        "CON",
        "CON.jpg",
        "a\\..\\b.jpg",
        " .jpg",
        "\u202egpj.exe",
        "-o",
        "~",
        "%2e%2e",
    ],
)
def test_results_stay_in_their_folder_for_any_photo_name(tmp_path: Path, name: str, layout: Layout) -> None:
    source = tmp_path / "photos" / name
    source.parent.mkdir()
    source.write_bytes(b"photo")
    (photo,) = plan([NamedPhoto(source)], tmp_path / "out", layout)
    for artifact in ("blurred.jpg", "blur.json", "person_0/x.png"):
        assert photo.save(artifact, b"x").is_relative_to(tmp_path / "out")
    beside = {path.name for path in tmp_path.iterdir()}
    assert (beside, list(source.parent.iterdir())) == ({"photos", "out"}, [source])
    assert sum(path.is_file() for path in (tmp_path / "out").rglob("*")) == 3
    assert layout is Layout.MIRROR or len(list((tmp_path / "out").iterdir())) == 1


def test_a_folder_of_photos_is_reported_if_results_would_go_there(tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "1.heic"
    photo.parent.mkdir()
    photo.touch()
    (tmp_path / "link").symlink_to(photo.parent)
    named = [NamedPhoto(photo)]
    assert folder_of_photos_and_results(plan(named, tmp_path / "out", Layout.MIRROR)) is None
    assert folder_of_photos_and_results(plan(named, tmp_path / "link", Layout.MIRROR)) == tmp_path / "link"
    assert folder_of_photos_and_results(plan(named, tmp_path / "link")) is None, "of its own folder nothing is lost"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.jpg").touch()
    photo.unlink()
    photo.symlink_to(tmp_path / "out" / "kept.jpg")
    assert folder_of_photos_and_results(plan(named, tmp_path / "out", Layout.MIRROR)) == tmp_path / "out"
