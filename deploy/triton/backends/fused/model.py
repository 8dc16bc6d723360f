"""Python-based Triton backend for `backend: "fused"`: ensembles, all their steps in this process.

The launcher writes such a model where there is no GPU (`deploy/embedded/fused.py`). Each of its optional inputs has the
name of an ensemble, and holds that ensemble's parameters: so a request says which it is for. Parameters of the model:
`ensembles` and `model_repository` (folders), `intra_op_thread_count`, `session.intra_op.allow_spinning`.
"""

from __future__ import annotations  # the server adds its request types to the module after this import

import functools
import json
from pathlib import Path

import cv2
import triton_python_backend_utils as pb_utils

from steps.ensemble import Ensemble, load_fitting, steps_of
from steps.onnx_session import OnnxNetworks, SessionOptions
from steps.run_models import run_by
from steps.tensors import Tensors
from steps.triton_python import respond

IMAGE = "image"


class TritonPythonModel:
    """One instance: a process that serves every fused ensemble."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load every model of the ensembles once, and those that their steps run. Raises UnfitConfigError."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        options = SessionOptions.from_parameters(parameters, device_id=None)
        cv2.setNumThreads(options.intra_op_thread_count)
        folder, repository = Path(parameters["ensembles"]), Path(parameters["model_repository"])
        load = functools.cache(load_fitting)
        networks = OnnxNetworks(repository, options, load)
        steps = steps_of(repository, networks)
        self._input_names = [value["name"] for value in config["input"]]
        names = [name for name in self._input_names if name != IMAGE]
        self._ensembles = {name: Ensemble(folder / name, repository, steps, options, load) for name in names}
        stages = [stage.name for ensemble in self._ensembles.values() for stage in ensemble.stages]
        networks.load(run_by(stages, repository))

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Run the requests one after the other. An error stays with the request that caused it."""
        return [respond(self._run, self._input_names, request) for request in requests]

    def _run(self, tensors: Tensors) -> Tensors:
        """Run the ensemble whose input was given."""
        (name,) = tensors.keys() - {IMAGE}
        return self._ensembles[name]({IMAGE: tensors[IMAGE], "parameters": tensors[name]})
