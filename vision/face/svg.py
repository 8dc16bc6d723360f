"""Regions as an SVG document."""

import base64
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import cv2
import numpy as np

from vision.arrays import RGB, Float64, Size
from vision.encoding import encode_jpeg
from vision.face.curves import Outline, path_data
from vision.face.options import ContourOptions, color_of
from vision.face.regions import Region

LABEL_SHARE, LEAST_LABEL = 0.018, 6.0
"""Height of a label's letters, as a share of the document's longer side, and at least so many pixels."""
DOT_SHARE, LEAST_DOT = 0.004, 1.0
"""Width of a landmark, in the same units."""
LANDMARK_COLOR = "#1E6FD9"
COARSE_SIDE = 128
"""Pixels of the raster on which the place of a label is found."""


def svg_document(
    size: Size, regions: Sequence[Region], landmarks: Float64, options: ContourOptions, photo: RGB | None = None
) -> str:
    """Write an SVG of `size` pixels with a group per region (its number and name), over the photo if given.

    Regions, `landmarks` N×2 and `photo` H×W×3 lie in the document's frame. There are no scripts, styles or links.
    """
    width, height = map(str, size)
    root = ET.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", width=width, height=height, viewBox=f"0 0 {width} {height}"
    )
    if photo is not None:
        data = base64.b64encode(encode_jpeg(photo)).decode()
        ET.SubElement(root, "image", width=width, height=height, href=f"data:image/jpeg;base64,{data}")
    for region in regions:
        _add_region(root, region, options)
    if options.show_landmarks:
        _add_landmarks(root, landmarks, max(LEAST_DOT, DOT_SHARE * max(size)))
    if options.show_labels:
        _add_labels(root, regions, max(LEAST_LABEL, LABEL_SHARE * max(size)))
    return ET.tostring(root, encoding="unicode")


def _add_region(root: ET.Element, region: Region, options: ContourOptions) -> None:
    color = color_of(region.number, region.name, options.colors)
    names = {"id": f"region-{region.number}", "data-number": str(region.number), "data-name": region.name}
    paint = {"fill": color, "fill-opacity": f"{options.region_opacity:g}", "fill-rule": "evenodd"}
    if options.stroke_width:
        paint |= {"stroke": color, "stroke-width": f"{options.stroke_width:g}", "stroke-linejoin": "round"}
    group = ET.SubElement(root, "g", names | paint)
    ET.SubElement(group, "title").text = region.name
    ET.SubElement(group, "path", d=path_data(region.knots))


def _add_landmarks(root: ET.Element, landmarks: Float64, width: float) -> None:
    """Dots are lines without length and with round ends, so that one path holds all of them."""
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in landmarks.tolist())
    line = {"stroke": LANDMARK_COLOR, "stroke-width": f"{width:.1f}", "stroke-linecap": "round"}
    ET.SubElement(root, "path", {"id": "landmarks", "fill": "none", **line, "d": dots})


def _add_labels(root: ET.Element, regions: Sequence[Region], height: float) -> None:
    text = {"font-family": "sans-serif", "font-size": f"{height:.1f}", "text-anchor": "middle", "fill": "#222222"}
    halo = {"stroke": "#FFFFFF", "stroke-width": f"{height / 5:.1f}", "paint-order": "stroke"}
    group = ET.SubElement(root, "g", {"id": "labels", **text, **halo, "stroke-linejoin": "round"})
    for region in regions:
        x, y = _inside(region.contours)
        label = ET.SubElement(group, "text", x=f"{x:.1f}", y=f"{y:.1f}", dy="0.35em")
        label.text = f"{region.number} {region.name.replace('_', ' ')}"


def _inside(rings: Sequence[Outline]) -> tuple[float, float]:
    """Find the middle of the largest disc within rings, on a coarse raster."""
    points = np.concatenate([ring.points for ring in rings])
    low = points.min(axis=0)
    scale = (COARSE_SIDE - 1) / max(float(np.ptp(points, axis=0).max()), 1e-6)
    raster = np.zeros((COARSE_SIDE + 2, COARSE_SIDE + 2), dtype=np.uint8)
    polygons = [np.rint((ring.points - low) * scale + 1).astype(np.int32) for ring in rings]
    distance = cv2.distanceTransform(cv2.fillPoly(raster, polygons, (1,)), cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(np.argmax(distance)), distance.shape)
    x, y = (low + (np.array([column, row]) - 1) / scale).tolist()
    return x, y
