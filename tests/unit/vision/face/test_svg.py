import base64
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from tests.unit.vision.face.document import read_document
from vision.face.curves import Outline
from vision.face.options import ContourOptions, FaceError, color_of
from vision.face.regions import Region
from vision.face.svg import svg_document

SIZE = (120, 100)
OUTER = np.array([(10.0, 10.0), (90.0, 10.0), (90.0, 90.0), (10.0, 90.0)])
HOLE = Outline((OUTER - 50) * 0.9 + 50, hole=True)
LANDMARKS = np.array([(20.0, 30.0), (40.04, 50.0)])
HOSTILE = "<script>alert('\"&</script>"
NAMESPACE = "{http://www.w3.org/2000/svg}"


def region(number: int = 1, name: str = "nose") -> Region:
    rings = (Outline(OUTER), HOLE)
    return Region(number, name, rings, rings)


def document(options: ContourOptions | None = None, name: str = "nose", photo: np.ndarray | None = None) -> ET.Element:
    text = svg_document(SIZE, [region(name=name)], LANDMARKS, options or ContourOptions(), photo)
    return read_document(text)


def test_a_region_is_a_group_with_its_number_and_name() -> None:
    (group,) = document().findall(f"{NAMESPACE}g")
    assert (group.get("data-number"), group.get("data-name"), group.get("id")) == ("1", "nose", "region-1")
    assert (group.get("fill"), group.get("fill-opacity"), group.get("fill-rule")) == ("#D4A574", "0.65", "evenodd")
    assert group.get("stroke") is None
    (path,) = group.findall(f"{NAMESPACE}path")
    assert path.get("d").count("z") == 2


def test_the_documents_frame() -> None:
    assert document().get("viewBox") == "0 0 120 100"


def test_opacity_stroke_and_colors() -> None:
    options = ContourOptions(region_opacity=0.3, stroke_width=2.5, colors={"nose": "#010203"})
    (group,) = document(options).findall(f"{NAMESPACE}g")
    assert (group.get("fill-opacity"), group.get("stroke-width")) == ("0.3", "2.5")
    assert (group.get("fill"), group.get("stroke")) == ("#010203",) * 2


def test_hostile_names_are_text() -> None:
    root = document(ContourOptions(show_labels=True), HOSTILE)
    assert root.find(f"{NAMESPACE}g").get("data-name") == HOSTILE
    assert root.find(f"{NAMESPACE}g/{NAMESPACE}title").text == HOSTILE
    assert {element.tag.removeprefix(NAMESPACE) for element in root.iter()} == {"svg", "g", "title", "path", "text"}
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]


def test_a_label_stands_within_its_region_and_not_in_the_hole() -> None:
    (label,) = document(ContourOptions(show_labels=True)).iter(f"{NAMESPACE}text")
    x, y = float(label.get("x")), float(label.get("y"))
    assert 10 < min(x, y) < 15 or 85 < max(x, y) < 90
    assert label.text == "1 nose"


def test_landmarks_are_dots() -> None:
    dots = document(ContourOptions(show_landmarks=True)).find(f"{NAMESPACE}path[@id='landmarks']")
    assert dots.get("d") == "M20.0 30.0h0M40.0 50.0h0"
    assert document().find(f"{NAMESPACE}path") is None


def test_the_photo_is_embedded_where_it_is_given() -> None:
    photo = np.full((100, 120, 3), (200, 40, 10), dtype=np.uint8)
    image = document(photo=photo).find(f"{NAMESPACE}image")
    kind, data = image.get("href").split(",")
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert kind == "data:image/jpeg;base64"
    np.testing.assert_allclose(decoded, photo, atol=4)
    assert document().find(f"{NAMESPACE}image") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"region_opacity": 1.1},
        {"region_opacity": float("nan")},
        {"stroke_width": -1},
        {"stroke_width": float("inf")},
        {"colors": {"nose": "red"}},
        {"colors": {"nose": '#000000"/><script>'}},
    ],
)
def test_options_that_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(FaceError) as refused:
        ContourOptions(**wrong)
    assert refused.value.code == "options_invalid"


def test_the_services_colors() -> None:
    names = ("forehead", "left_under_eye", "right_under_eye", "mouth", "nose")
    assert [color_of(1, name, {}) for name in names] == ["#B695C0"] * 4 + ["#D4A574"]
    assert color_of(3, "mine", {}) != color_of(4, "mine too", {})
