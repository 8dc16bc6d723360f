"""A real inference as a sign of life."""

import cv2
import numpy as np
import tritonclient.grpc.aio as grpcclient


async def infer_every(url: str, models: list[str], deadline: float) -> None:
    """Send a 16×16 photo to each model. Raises InferenceServerException where one does not answer in time (seconds)."""
    photo = cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    inputs = [_bytes_input("image", photo), _bytes_input("parameters", b"{}")]
    async with grpcclient.InferenceServerClient(url) as client:
        for model in models:
            await client.infer(model, inputs, client_timeout=deadline)


def _bytes_input(name: str, value: bytes) -> grpcclient.InferInput:
    tensor = grpcclient.InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([value], dtype=np.object_))
    return tensor
