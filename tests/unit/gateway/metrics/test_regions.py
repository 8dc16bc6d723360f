from gateway.metrics.regions import KNOWN, OTHER, region_type
from vision.face.regions import REGION_NUMBERS
from vision.face.segmentation import BACKGROUND, CELEBAMASK_HQ, CONTOURS


def test_every_region_of_ours_is_known_and_none_else() -> None:
    labels = {name for scheme in (CONTOURS, CELEBAMASK_HQ) for name in scheme.names} - {CONTOURS.names[BACKGROUND]}
    assert labels | set(REGION_NUMBERS) == KNOWN
    assert region_type("nose") == "nose"
    assert region_type("a caller's own") == OTHER
