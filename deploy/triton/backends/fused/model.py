"""Python-based Triton backend for `backend: "fused"`: one ensemble, all its steps in this process.

The launcher writes such a model for each ensemble where there is no GPU (`deploy/embedded/triton.py`). Parameters:
`ensemble` and `model_repository` (folders), `intra_op_thread_count`, `session.intra_op.allow_spinning`.
"""

from __future__ import annotations  # the server adds its request types to the module after this import

import json
from pathlib import Path

import cv2
import triton_python_backend_utils as pb_utils

from steps.ensemble import Ensemble, load_fitting, run_by, steps_of
from steps.onnx_session import OnnxNetworks, SessionOptions
from steps.triton_python import respond


class TritonPythonModel:
    """One instance of one fused ensemble."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load every model of the ensemble, and those that its steps run themselves. Raises UnfitConfigError."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        options = SessionOptions.from_parameters(parameters, device_id=None)
        cv2.setNumThreads(options.intra_op_thread_count)
        folder, repository = Path(parameters["ensemble"]), Path(parameters["model_repository"])
        networks = OnnxNetworks(repository, options, load_fitting)
        self._ensemble = Ensemble(folder, repository, steps_of(repository, networks), options)
        networks.load(run_by((stage.name for stage in self._ensemble.stages), repository))
        self._input_names = [value["name"] for value in config["input"]]

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Run the requests one after the other. An error stays with the request that caused it."""
        return [respond(self._ensemble, self._input_names, request) for request in requests]
