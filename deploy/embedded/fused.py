"""The models of a Triton without a GPU: processes that each run every pipeline, and an ensemble of one step for each.

An ensemble keeps its name, inputs and outputs, so that callers see no difference. Its one step is such a process. To
it, the ensemble hands its parameters as the input that has its own name: so the process knows which pipeline is meant.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from steps.model_folder import ModelConfig
from steps.run_models import NEEDS

PIPELINES = "pipelines"
"""The model whose processes run every pipeline."""
_IMAGE, _PARAMETERS = "image", "parameters"
_OUTPUTS = {"result": 1, "artifact_names": -1, "artifacts": -1}


def write_fused(ensembles: Path, model_repository: Path, target: Path, processes: int, threads: int) -> None:
    """Write the models into `target`: the ensembles, and those whose processes serve them.

    Each of these has so many processes, and each process so many threads of onnxruntime. A pipeline of a user's large
    networks has processes of its own: its photos take seconds, and others would wait behind them.
    """
    shutil.rmtree(target, ignore_errors=True)
    groups: dict[str, list[ModelConfig]] = {}
    for folder in sorted(path.parent for path in ensembles.glob("*/config.pbtxt")):
        config = ModelConfig(folder)
        large = any(name in NEEDS for name, _, _ in config.steps)
        groups.setdefault(f"{PIPELINES}_{config.name}" if large else PIPELINES, []).append(config)
    for model, members in groups.items():
        _write(
            target / model, _process(ensembles, model_repository, [each.name for each in members], processes, threads)
        )
        for config in members:
            _write(target / config.name, _ensemble(config, model))


def _write(folder: Path, config: model_config_pb2.ModelConfig) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")


def _ensemble(source: ModelConfig, model: str) -> model_config_pb2.ModelConfig:
    """The ensemble with one step, the model."""
    config = source.message()
    config.ClearField("ensemble_scheduling")
    step = config.ensemble_scheduling.step.add(model_name=model, model_version=-1)
    step.input_map[_IMAGE] = _IMAGE
    step.input_map[source.name] = _PARAMETERS
    for name in _OUTPUTS:
        step.output_map[name] = name
    return config


def _process(
    ensembles: Path, model_repository: Path, names: Sequence[str], processes: int, threads: int
) -> model_config_pb2.ModelConfig:
    """The model whose processes run these ensembles."""
    config = model_config_pb2.ModelConfig(backend="fused")
    texts = {"data_type": model_config_pb2.TYPE_STRING, "dims": [1]}
    config.input.add(name=_IMAGE, **texts)
    for name in names:
        config.input.add(name=name, optional=True, **texts)
    for name, size in _OUTPUTS.items():
        config.output.add(name=name, data_type=model_config_pb2.TYPE_STRING, dims=[size])
    config.instance_group.add(count=processes, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU)
    parameters = {
        "ensembles": str(ensembles.absolute()),
        "model_repository": str(model_repository.absolute()),
        "intra_op_thread_count": str(threads),
        "session.intra_op.allow_spinning": "0",
    }
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return config
