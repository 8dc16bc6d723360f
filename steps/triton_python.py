"""Steps as models of Triton's python backend."""

from __future__ import annotations  # the server adds its request types to the module after this import

import json
from pathlib import Path

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils

from steps.catalogue import steps_of
from steps.tensors import Step


def respond(step: Step, input_names: list[str], request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
    """Run a step on one request and answer with the outputs that were asked for, or with its error.

    Inputs that the configuration calls optional may be missing.
    """
    try:
        inputs = {name: pb_utils.get_input_tensor_by_name(request, name) for name in input_names}
        results = step({name: tensor.as_numpy() for name, tensor in inputs.items() if tensor is not None})
    except Exception as error:  # noqa: BLE001 - a fault of ours in one request must not reach its neighbours
        pb_utils.Logger.log_error(f"{type(error).__name__}: {error}")
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{type(error).__name__}: {error}"))
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(name, np.ascontiguousarray(results[name])) for name in request.requested_output_names()]
    )


class TritonPythonModel:
    """The step that bears the model's name."""

    def initialize(self, args: dict[str, str]) -> None:
        """Find the step; one OpenCV thread, because instances are what runs side by side."""
        config = json.loads(args["model_config"])
        cv2.setNumThreads(1)
        self._step = steps_of(Path(args["model_repository"]).parent)[args["model_name"]]
        self._input_names = [value["name"] for value in config["input"]]

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Run the requests one after the other; an error stays with the request that caused it."""
        return [respond(self._step, self._input_names, request) for request in requests]
