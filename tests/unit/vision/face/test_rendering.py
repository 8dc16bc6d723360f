"""The SVG as a browser shows it, and, where there is none, as its paths say."""

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from tests.unit.vision.face.conftest import RealCase
from tests.unit.vision.face.document import curves, read_document
from tests.unit.vision.face.drawing import SIZE, label_map, mesh_landmarks
from tests.unit.vision.face.raster import fill, iou
from vision.arrays import LabelMap
from vision.face.contours import FaceContours, covering, face_contours
from vision.face.landmarks import parse_landmarks
from vision.face.options import ContourOptions
from vision.face.segmentation import parse_segmentation
from vision.photo import inspect

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NAMESPACE = "http://www.w3.org/2000/svg"
COLUMNS = 4


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is here: {', '.join(BROWSERS)}")
    return found


def screenshot(browser: str, sheet: Path, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--force-device-scale-factor=1", f"--user-data-dir={sheet.parent / 'profile'}"]
    command += [f"--window-size={width},{height}", f"--screenshot={sheet.with_suffix('.png')}", sheet.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return cv2.imread(str(sheet.with_suffix(".png")), cv2.IMREAD_GRAYSCALE)


def rendered(face: FaceContours, browser: str, folder: Path) -> list[np.ndarray]:
    """Each region's group alone, black on white, cut out of one sheet."""
    width, height = face.crop.size
    groups = read_document(face.svg).findall(f"{{{NAMESPACE}}}g")
    rows = -(-len(groups) // COLUMNS)
    ET.register_namespace("", NAMESPACE)
    sheet = ET.Element(f"{{{NAMESPACE}}}svg", width=str(COLUMNS * width), height=str(rows * height))
    ET.SubElement(sheet, f"{{{NAMESPACE}}}rect", width="100%", height="100%", fill="#FFFFFF")
    for index, group in enumerate(groups):
        group.set("fill", "#000000")
        x, y = str(index % COLUMNS * width), str(index // COLUMNS * height)
        cell = ET.SubElement(sheet, f"{{{NAMESPACE}}}svg", x=x, y=y, width=str(width), height=str(height))
        cell.append(group)
    (folder / "sheet.svg").write_text(ET.tostring(sheet, encoding="unicode"))
    shot = screenshot(browser, folder / "sheet.svg", (COLUMNS * width, rows * height))
    cells = [np.hsplit(row, COLUMNS) for row in np.vsplit(shot, rows)]
    return [cells[index // COLUMNS][index % COLUMNS] < 128 for index in range(len(groups))]


def drawn_face() -> tuple[FaceContours, LabelMap]:
    """The drawn face's SVG, and the labels that it is to show."""
    face = face_contours(SIZE, mesh_landmarks(), label_map(), ContourOptions(region_opacity=1))
    return face, face.crop.of_labels(covering(label_map(), SIZE))


def real_face(case: RealCase) -> tuple[FaceContours, LabelMap]:
    """The same of the real case."""
    size = inspect(case.image).size
    (landmarks,) = parse_landmarks(case.landmarks).in_photo(size)
    labels = np.asarray(parse_segmentation(case.segmentation))
    face = face_contours(size, landmarks, labels, ContourOptions(region_opacity=1))
    return face, face.crop.of_labels(covering(labels, size))


def assert_alike(face: FaceContours, labels: LabelMap, shown: list[np.ndarray]) -> None:
    for region, pixels in zip(face.regions, shown, strict=True):
        assert iou(pixels, labels == region.number) >= 0.97, region.name


def filled(face: FaceContours) -> list[np.ndarray]:
    """Each region's path, filled by the even-odd rule."""
    paths = read_document(face.svg).findall(f"{{{NAMESPACE}}}g/{{{NAMESPACE}}}path")
    return [fill(curves(path.attrib["d"]), face.crop.size) for path in paths]


def test_the_drawn_face_renders_like_its_label_map(browser: str, tmp_path: Path) -> None:
    face, labels = drawn_face()
    assert_alike(face, labels, rendered(face, browser, tmp_path))


def test_the_real_case_renders_like_its_label_map(browser: str, real_case: RealCase, tmp_path: Path) -> None:
    face, labels = real_face(real_case)
    assert_alike(face, labels, rendered(face, browser, tmp_path))


def test_the_drawn_faces_paths_are_those_of_its_label_map() -> None:
    face, labels = drawn_face()
    assert_alike(face, labels, filled(face))


def test_the_real_cases_paths_are_those_of_its_label_map(real_case: RealCase) -> None:
    face, labels = real_face(real_case)
    assert_alike(face, labels, filled(face))
