"""Python-based Triton backend for `backend: "onnxruntime"`: serves any model.onnx with the onnxruntime package.

In NVIDIA's container the C++ libtriton_onnxruntime.so takes its place; both read the same config.pbtxt. Honoured here:
instance groups (count, kind, device), `intra_op_thread_count`, `inter_op_thread_count` and
`session.intra_op.allow_spinning` in the parameters, `default_model_filename`, dynamic batching, and the
accelerator `tensorrt`. Both refuse a configuration that does not fit its graph.
"""

from __future__ import annotations  # the server adds its request types to the module after this import

import json
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import triton_python_backend_utils as pb_utils

from steps.graph_signature import Signature, UnfitConfigError, require_fit
from steps.onnx_session import NoTensorrtError, OnnxSession, SessionOptions
from steps.tensors import JsonObject, Tensor


class _Accelerator(TypedDict, total=False):
    name: str
    parameters: dict[str, str]


class TritonPythonModel:
    """One instance of one ONNX model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model on the instance's device.

        Raises TritonModelException naming a missing file, or what in the configuration does not fit the graph.
        """
        config = json.loads(args["model_config"])
        filename = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / filename
        if not path.is_file():
            message = f"{path} is missing: build it with `maskwright models export`"
            raise pb_utils.TritonModelException(message)
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        device_id = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        try:
            self._session = OnnxSession(path, SessionOptions.from_parameters(parameters, device_id, _tensorrt(config)))
            require_fit(config["name"], Signature.of_json(config), config["max_batch_size"], self._session.signature)
        except (NoTensorrtError, UnfitConfigError) as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._batches = config["max_batch_size"] > 0

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Run the requests, as one batch if the model has a batch dimension."""
        if self._batches and len(requests) > 1:
            try:
                return self._run_batch(requests)
            except Exception as error:  # noqa: BLE001 - whatever one request broke, its neighbours still get answers
                pb_utils.Logger.log_warn(f"batch of {len(requests)} failed, running its requests one by one: {error}")
        return [self._run(request) for request in requests]

    def _run_batch(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        inputs = [self._inputs(request) for request in requests]
        merged = {name: np.concatenate([one[name] for one in inputs]) for name in self._session.input_names}
        names = self._session.output_names
        ends = np.cumsum([len(one[self._session.input_names[0]]) for one in inputs])[:-1]
        parts = [np.split(output, ends) for output in self._session.run(merged, names)]
        return [
            _response(request, dict(zip(names, outputs, strict=True)))
            for request, outputs in zip(requests, zip(*parts, strict=True), strict=True)
        ]

    def _run(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        names = request.requested_output_names()
        try:
            outputs = self._session.run(self._inputs(request), names)
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class; the caller gets the text
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        return _response(request, dict(zip(names, outputs, strict=True)))

    def _inputs(self, request: pb_utils.InferenceRequest) -> dict[str, Tensor]:
        return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._session.input_names}


def _tensorrt(config: JsonObject) -> dict[str, str] | None:
    """The parameters of the accelerator `tensorrt`, in NVIDIA's words. None without it."""
    optimization = cast("dict[str, dict[str, list[_Accelerator]]]", config.get("optimization") or {})
    asked = optimization.get("execution_accelerators", {}).get("gpu_execution_accelerator", [])
    return next((each.get("parameters", {}) for each in asked if each["name"] == "tensorrt"), None)


def _response(request: pb_utils.InferenceRequest, outputs: dict[str, Tensor]) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(name, np.ascontiguousarray(outputs[name])) for name in request.requested_output_names()]
    )
