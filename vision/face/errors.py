"""Why a face's landmarks, segmentation or options are refused."""

from typing import Literal, TypeAlias

FaceErrorCode: TypeAlias = Literal[
    "landmarks_unreadable",
    "landmarks_count",
    "landmarks_outside",
    "landmarks_degenerate",
    "segmentation_unsupported",
    "label_map_lossy",
    "label_map_unreadable",
    "label_map_corrupt",
    "label_map_empty",
    "regions_invalid",
    "region_unknown",
    "options_invalid",
]


class FaceError(ValueError):
    """An input that is refused: `code` is stable, `detail` says what is wrong and what would be right."""

    def __init__(self, code: FaceErrorCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
