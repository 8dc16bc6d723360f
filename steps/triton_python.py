"""Steps as models of Triton's python backend."""

from __future__ import annotations  # the server adds its request types to the module after this import

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from steps.ensemble import steps_of
from steps.model_folder import ModelConfig
from steps.onnx_session import INPUT, OUTPUT
from steps.tensors import Step, Tensor
from vision.arrays import RGB, Float32


def respond(step: Step, input_names: list[str], request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
    """Run a step on one request, and answer with the requested outputs or with its error.

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


class TritonNetwork:
    """A network as a model of the same Triton."""

    def __init__(self, folder: Path) -> None:
        self._model = folder.name
        self._most = max(ModelConfig(folder).max_batch_size, 1)

    def __call__(self, draws: Sequence[Callable[[], RGB]]) -> list[Float32]:
        """The rows of each input, in batches that the model accepts. Raises RuntimeError with Triton's message."""
        batches = (draws[start : start + self._most] for start in range(0, len(draws), self._most))
        stacks = (np.stack([draw() for draw in batch]) for batch in batches)
        return [rows for stack in stacks for rows in cast("Float32", self._run(stack, [OUTPUT])[0])]

    def maps(self, image: RGB, outputs: Sequence[str]) -> list[Tensor]:
        """The named outputs of one image H×W×3, without the first dimension. Raises RuntimeError likewise."""
        return [output[0] for output in self._run(image[np.newaxis], outputs)]

    def _run(self, images: NDArray[np.uint8], outputs: Sequence[str]) -> list[Tensor]:
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            requested_output_names=[*outputs],
            inputs=[pb_utils.Tensor(INPUT, images)],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            message = f"{self._model}: {response.error().message()}"
            raise RuntimeError(message)
        return [pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in outputs]


class TritonPythonModel:
    """The step with the model's name."""

    def initialize(self, args: dict[str, str]) -> None:
        """Find the step. OpenCV gets one thread, because whole instances run in parallel."""
        config = json.loads(args["model_config"])
        cv2.setNumThreads(1)
        repository = Path(args["model_repository"]).parent
        self._step = steps_of(repository, lambda model: TritonNetwork(repository / model))[args["model_name"]]
        self._input_names = [value["name"] for value in config["input"]]

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Run the requests one after the other. An error stays with the request that caused it."""
        return [respond(self._step, self._input_names, request) for request in requests]
