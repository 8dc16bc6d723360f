import pytest

from gateway.pipelines.parameters import BodyMasksParameters
from gateway.settings.settings import MASK_TYPES
from steps.body_masks import BodyMaskParameters
from vision.body.mask_types import MaskType


def test_the_gateway_and_the_steps_name_the_same_mask_types_in_the_same_order() -> None:
    assert [mask_type.value for mask_type in MaskType] == list(MASK_TYPES)


def test_the_step_reads_the_parameters_that_the_gateway_sends() -> None:
    sent = BodyMasksParameters(
        mask_types=("dress",),
        gender="male",
        style="labels",
        frame="canvas",
        crop="centre",
        person="all",
        include=("overlay",),
    )
    read = BodyMaskParameters.from_json(sent.model_dump(mode="json"))
    assert read == BodyMaskParameters((MaskType.DRESS,), "M", "labels", "canvas", "all", "centre", ("overlay",))


def test_the_gateway_and_the_steps_have_the_same_defaults() -> None:
    sent, read = BodyMasksParameters(), BodyMaskParameters.from_json({})
    assert (read.style, read.frame, read.person, read.include) == (sent.style, sent.frame, sent.person, sent.include)
    assert read.mask_types == tuple(MaskType(name) for name in sent.mask_types)


def test_an_unknown_mask_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="cape"):
        BodyMaskParameters.from_json({"mask_types": ["cape"]})
