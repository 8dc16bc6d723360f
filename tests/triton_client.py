"""Talking to Triton as any of its clients would."""

import json
from dataclasses import dataclass

import numpy as np
import tritonclient.grpc as grpcclient

from gateway.triton import CHANNEL


@dataclass(frozen=True)
class PipelineAnswer:
    """What a pipeline answered."""

    result: dict[str, object]
    artifacts: dict[str, bytes]


def run_pipeline(url: str, model: str, photo: bytes, parameters: dict[str, object]) -> PipelineAnswer:
    """One inference of a pipeline."""
    inputs = [bytes_input("image", photo), bytes_input("parameters", json.dumps(parameters).encode())]
    with grpcclient.InferenceServerClient(url, channel_args=CHANNEL) as client:
        answer = client.infer(model, inputs, client_timeout=60)
    names = [name.decode() for name in answer.as_numpy("artifact_names")]
    artifacts = dict(zip(names, answer.as_numpy("artifacts").tolist(), strict=True))
    return PipelineAnswer(json.loads(answer.as_numpy("result")[0]), artifacts)


def bytes_input(name: str, value: bytes) -> grpcclient.InferInput:
    """A BYTES tensor of shape [1]."""
    tensor = grpcclient.InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([value], dtype=np.object_))
    return tensor
