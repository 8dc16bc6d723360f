from steps.photo import regions_context, regions_of
from steps.tensors import json_object, json_tensor
from vision.ssd import Roi


def test_regions_survive_the_context_unchanged() -> None:
    regions = [Roi((1.25, -2.5), 30.0, 0.1), Roi((1e6, 0.0), 1.0, -3.0)]
    assert regions_of(json_object(json_tensor(regions_context(regions)))) == regions
