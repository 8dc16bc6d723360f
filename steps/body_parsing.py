"""The step of full `body_masks` that asks the user's networks: a parser's labels, and OpenPose's key points."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from steps.body_masks import Person, asked_people
from steps.networks import Network, Networks
from steps.run_models import ATR, SIDES, BodyNetworks
from steps.tensors import Step, Tensors, carrying_failures
from vision.affine import invert, transform_points
from vision.arrays import RGB, Float32, Float64, LabelMap
from vision.body.heatmaps import OOTD, Maps, network_input
from vision.body.label_map import photo_window
from vision.body.openpose import decode_people
from vision.body.parsing import LABELS_OF, atr_labels, label_map, parser_input, window_about, with_neck, without_holes
from vision.body.pose import keypoints_in, transform_keypoints
from vision.body.silhouette import OUTPUT_SIZE, WORK_SIZE, canvas_pixels


def _nobody(_: Tensors) -> Tensors:
    return {"labels": np.zeros((1, *WORK_SIZE[::-1]), np.uint8), "keypoints": np.zeros((1, 18, 3))}


def body_parse(chosen: BodyNetworks, networks: Networks) -> Step:
    """The step for these models.

    Inputs as `body_masks_draw` has them → `labels` uint8 P×512×384 (ATR labels on each person's canvas), `keypoints`
    float64 P×18×3 (source pixels, score), `context` BYTES [1] JSON as it came. People come in the order of the masks.
    """

    @carrying_failures(_nobody)
    def step(tensors: Tensors) -> Tensors:
        parsed = [_parsed(person, chosen, networks) for person in asked_people(tensors)]
        labels, keypoints = (np.stack(each) for each in zip(*parsed, strict=True))
        return {"labels": labels, "keypoints": keypoints, "context": tensors["context"]}

    return step


def _parsed(person: Person, chosen: BodyNetworks, networks: Networks) -> tuple[LabelMap, Float64]:
    """Labels on the canvas, and key points in the photo, of one person. Raises InputError."""
    photo = person.detail.encoded.reduced(person.canvas.width, OUTPUT_SIZE[0])
    pixels = canvas_pixels(photo, person.canvas)
    keypoints = person.keypoints if chosen.pose is None else _openpose(person, pixels, chosen.pose, networks)
    on_canvas = transform_keypoints(keypoints, person.canvas.to_work)
    maps = [_labels(pixels, parser, networks(model)) for parser, model in chosen.parsers.items()]
    return _combined(maps, list(chosen.parsers), on_canvas) & photo_window(person.canvas, person.size), keypoints


def _openpose(person: Person, pixels: RGB, model: str, networks: Networks) -> Float64:
    """Key points of the one on the canvas who fills the person's box best."""
    heatmap, paf = networks(model).maps(network_input(pixels, OOTD), ["heatmap", "paf"])
    people = decode_people(Maps(cast("Float32", heatmap), cast("Float32", paf), WORK_SIZE, OOTD))
    x1, y1, x2, y2 = person.pose.box
    corners = transform_points(np.array([(x1, y1), (x2, y2)]), person.canvas.to_work)
    (left, top), (right, bottom) = corners.tolist()
    keypoints = keypoints_in((left, top, right, bottom), people.keypoints())
    moved = transform_keypoints(keypoints, invert(person.canvas.to_work))
    return np.where(moved[:, 2:] > 0, moved, 0.0)


def _labels(pixels: RGB, parser: str, network: Network) -> tuple[LabelMap, int]:
    """A parser's own labels on the canvas, and how many it knows."""
    window = window_about((0.0, 0.0, *WORK_SIZE), SIDES[parser])
    (logits,) = network.maps(parser_input(pixels, window), ["logits"])
    return label_map(cast("Float32", logits), window, WORK_SIZE), len(logits)


def _combined(maps: Sequence[tuple[LabelMap, int]], parsers: Sequence[str], keypoints: Float64) -> LabelMap:
    """ATR's labels: with holes filled, and with the neck if LIP's are there too; or those of another parser, turned."""
    first, classes = maps[0]
    if parsers[0] != ATR:
        return atr_labels(first, LABELS_OF[classes], keypoints)
    filled = without_holes(first)
    return with_neck(filled, maps[1][0]) if len(maps) > 1 else filled
