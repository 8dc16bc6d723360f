from pathlib import Path

import numpy as np
import pytest

from deploy.embedded.fused import write_fused
from deploy.embedded.triton import ENSEMBLES, MODELS
from steps.ensemble import Ensemble, steps_of
from steps.model_folder import ModelConfig
from steps.onnx_session import OnnxSession, SessionOptions
from steps.tensors import Tensors, bytes_tensor, json_object
from tests.unit.steps.objects import networks

CHAIN = """
platform: "ensemble"
output [ { name: "sum" data_type: TYPE_INT64 dims: [ 1 ] } ]
ensemble_scheduling { step [
  { model_name: "one" input_map { key: "x" value: "in" } output_map { key: "y" value: "between" } },
  { model_name: "two" input_map { key: "a" value: "between" } input_map { key: "b" value: "in" }
    output_map { key: "c" value: "sum" } }
] }
"""


def one(tensors: Tensors) -> Tensors:
    return {"y": np.asarray(tensors["x"]) * 10}


def two(tensors: Tensors) -> Tensors:
    return {"c": np.asarray(tensors["a"]) + np.asarray(tensors["b"])}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in {"chain": CHAIN, "one": 'backend: "python"', "two": 'backend: "python"'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").write_text(text)
    return tmp_path


def test_tensors_go_where_the_config_maps_them(repository: Path) -> None:
    chain = Ensemble(repository / "chain", repository, {"one": one, "two": two}, SessionOptions())
    assert chain({"in": np.array([4])}) == {"sum": np.array([44])}


def test_every_step_of_every_ensemble_is_a_model_of_the_repository() -> None:
    for config in ENSEMBLES.glob("*/config.pbtxt"):
        for name, inputs, outputs in ModelConfig(config.parent).steps:
            step = ModelConfig(MODELS / name)
            required = {value.name for value in step._config.input if not value.optional}
            assert required <= set(inputs) <= set(step.input_names)
            assert set(outputs) <= set(step.output_names)
            assert step.backend == "onnxruntime" or name in steps_of(MODELS, networks({}))


def test_fused_pipelines_keep_name_inputs_and_outputs_and_share_their_processes(tmp_path: Path) -> None:
    write_fused(ENSEMBLES, MODELS, tmp_path, processes=3, threads=2)
    serving: dict[str, list[str]] = {}
    names = sorted(folder.name for folder in ENSEMBLES.iterdir())
    for name in names:
        fused, ensemble = ModelConfig(tmp_path / name), ModelConfig(ENSEMBLES / name)
        assert (fused.input_names, fused.output_names) == (ensemble.input_names, ensemble.output_names)
        ((model, inputs, outputs),) = fused.steps
        assert inputs == {"image": "image", name: "parameters"}
        assert outputs == {output: output for output in ensemble.output_names}
        serving.setdefault(model, []).append(name)
    alone = ["body_masks_full", "face_contours_full"]
    assert serving.pop("pipelines") == [name for name in names if name not in alone]
    assert serving == {f"pipelines_{name}": [name] for name in alone}
    processes = ModelConfig(tmp_path / "pipelines")
    assert processes.backend == "fused"
    assert processes.parameters["intra_op_thread_count"] == "2"
    assert processes.optional_input_names == [name for name in processes.input_names if name != "image"]


@pytest.mark.parametrize("name", sorted(folder.name for folder in ENSEMBLES.iterdir()))
def test_a_file_that_is_not_a_photo_is_refused_before_any_model_runs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise AssertionError("a model was run")

    ensemble = Ensemble(ENSEMBLES / name, MODELS, steps_of(MODELS, networks({})), SessionOptions(1))
    monkeypatch.setattr(OnnxSession, "run", fails)
    answer = ensemble({"image": bytes_tensor([b""]), "parameters": bytes_tensor([b"{}"])})
    assert json_object(answer["result"])["reason"] == "image_empty"


PASSING = """
platform: "ensemble"
output [ { name: "seen" data_type: TYPE_INT64 dims: [ 1 ] } ]
ensemble_scheduling { step [
  { model_name: "first" input_map { key: "x" value: "in" } output_map { key: "y" value: "between" } },
  { model_name: "last" input_map { key: "a" value: "between" } output_map { key: "seen" value: "seen" } }
] }
"""


@pytest.mark.parametrize(("spare", "seen"), [({}, 40), ({"spare": np.array([7])}, 47)])
def test_in_one_process_optional_inputs_get_earlier_outputs_of_the_same_name(
    spare: dict[str, np.ndarray], seen: int, tmp_path: Path
) -> None:
    first = 'backend: "python" output [ { name: "y" }, { name: "spare" }, { name: "other" } ]'
    last = 'backend: "python" input [ { name: "a" }, { name: "spare" optional: true } ]'
    for name, text in {"chain": PASSING, "first": first, "last": last}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").write_text(text)

    def begins(tensors: Tensors) -> Tensors:
        return {"y": np.asarray(tensors["x"]) * 10, **spare}

    def ends(tensors: Tensors) -> Tensors:
        return {"seen": np.asarray(tensors["a"]) + np.asarray(tensors.get("spare", 0))}

    chain = Ensemble(tmp_path / "chain", tmp_path, {"first": begins, "last": ends}, SessionOptions())
    assert chain({"in": np.array([4])}) == {"seen": np.array([seen])}
