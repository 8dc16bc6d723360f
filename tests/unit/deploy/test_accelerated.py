"""The folder that Triton serves with TRITON_TENSORRT: the same models, and the accelerator in those of ONNX."""

from pathlib import Path

import pytest

from deploy.embedded.triton import ENSEMBLES, MODELS, write_ensembles, write_served
from steps.model_folder import ModelConfig

pytestmark = pytest.mark.skipif(
    not (MODELS / "pose_landmark_full" / "1" / "model.onnx").exists(), reason="models are not exported"
)


def test_onnx_models_alone_get_the_accelerator(tmp_path: Path) -> None:
    ensembles, served = tmp_path / "ensembles", tmp_path / "served"
    write_ensembles(ENSEMBLES, MODELS, ensembles, {"body_masks_lite"})
    write_served(ensembles, MODELS, served, "fp16", Path("/engines"))
    folder = served / "pose_landmark_full"
    assert (served / "body_masks_draw").is_symlink()
    assert (folder / "1" / "model.onnx").is_file()
    (accelerator,) = ModelConfig(folder).message().optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["precision_mode"] == "FP16"
    assert accelerator.parameters["trt_engine_cache_path"] == "/engines/pose_landmark_full"
    assert ModelConfig(folder).signature == ModelConfig(MODELS / "pose_landmark_full").signature
    assert not (MODELS / "pose_landmark_full" / "config.pbtxt").is_symlink(), "the repository itself stays as it is"
    write_served(ensembles, MODELS, served, "off", Path("/engines"))
    assert (served / "pose_landmark_full").is_symlink()
