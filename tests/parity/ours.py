"""Our pose of a photo: the steps of the pipeline, up to the landmarks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadtests.comparison import pipeline, request
from steps.body_masks import found_poses
from steps.ensemble import Ensemble
from steps.photo import EncodedPhoto
from vision.body.pose import person_mask

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


@dataclass(frozen=True)
class Found:
    """33×2 landmarks in pixels, the person's mask H×W."""

    landmarks: NDArray[np.float64]
    mask: NDArray[np.bool_]


def load_pipeline() -> Ensemble:
    """The lite body masks in this process."""
    return pipeline("body_masks_lite", threads=2)


def find(ensemble: Ensemble, photo: Path) -> Found:
    """The largest person. Raises InputError where there is none."""
    tensors = dict(request(photo.read_bytes(), b"{}"))
    for stage in ensemble.stages:
        stage.run(tensors)
    pose = found_poses({**tensors, "context": tensors["people_context"]})[0]
    size = EncodedPhoto.read(tensors["image"]).info.size
    return Found(pose.landmarks[:, :2], person_mask(pose, IDENTITY, size) > 0)
