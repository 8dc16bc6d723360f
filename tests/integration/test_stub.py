"""Triton's python stub with this environment's numpy, its models in a folder whose name a shell would not take."""

from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.model_server import serving_models
from tests.triton_client import bytes_input

pytest.importorskip("pytriton", reason="Triton's wheel has no stub for this Python")

FOLDER = "mein Ordner ü $(false) 'a' \"b\" `c` #;\n&"
TYPES = ("BOOL", *(f"{kind}{bits}" for kind in ("UINT", "INT") for bits in (8, 16, 32, 64)), "FP16", "FP32", "FP64")
DTYPES = {
    "BOOL": np.dtype(np.bool_), "FP16": np.dtype(np.float16), "FP32": np.dtype(np.float32), "FP64": np.dtype(np.float64)
} | {name: np.dtype(name.lower()) for name in TYPES if "INT" in name}  # fmt: skip
LAYOUTS = ("as it is", "transposed in memory", "every second", "read-only")
ECHO = """
import numpy as np
import triton_python_backend_utils as pb_utils

def laid_out(array, how):
    if how == "transposed in memory":
        return np.asfortranarray(array)
    if how == "every second":
        wide = np.repeat(array, 2, axis=-1)
        return wide[..., ::2]
    if how == "read-only":
        array = array.copy()
        array.flags.writeable = False
    return array

def answer(request):
    how = pb_utils.get_input_tensor_by_name(request, "how").as_numpy()[0].decode()
    given = next(tensor for tensor in request.inputs() if tensor.name() != "how")
    return pb_utils.Tensor("out" + given.name()[2:], laid_out(given.as_numpy(), how))

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([answer(request)]) for request in requests]
"""
RELAY = """
import triton_python_backend_utils as pb_utils

def answer(request):
    inputs = [pb_utils.Tensor(tensor.name(), tensor.as_numpy()) for tensor in request.inputs()]
    names = list(request.requested_output_names())
    asked = pb_utils.InferenceRequest(model_name="echo", requested_output_names=names, inputs=inputs).exec()
    if asked.has_error():
        return pb_utils.InferenceResponse(error=asked.error())
    return pb_utils.InferenceResponse([pb_utils.Tensor(t.name(), t.as_numpy()) for t in asked.output_tensors()])

class TritonPythonModel:
    def execute(self, requests):
        return [answer(request) for request in requests]
"""


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpcclient.InferenceServerClient]:
    home = tmp_path_factory.mktemp("stub") / FOLDER
    for name, code in {"echo": ECHO, "relay": RELAY}.items():
        folder = home / "models" / name / "1"
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(code)
        (folder.parent / "config.pbtxt").write_text("\n".join(config(name)))
    with serving_models(home, home / "models") as url, grpcclient.InferenceServerClient(url) as client:
        yield client


def config(name: str) -> Iterator[str]:
    yield f'name: "{name}" backend: "python" input {{ name: "how" data_type: TYPE_STRING dims: [ 1 ] }}'
    for kind in (*TYPES, "STRING"):
        for rank in (1, 2, 3):
            dims = f"data_type: TYPE_{kind} dims: [ {', '.join(['-1'] * rank)} ]"
            yield f'input {{ name: "in_{kind}_{rank}" {dims} optional: true }}'
            yield f'output {{ name: "out_{kind}_{rank}" {dims} }}'


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    kind = draw(st.sampled_from((*TYPES, "STRING")))
    shape = draw(array_shapes(max_dims=3, max_side=9, min_side=0))
    if kind == "STRING":
        return kind, draw(arrays(object, shape, elements=st.binary(max_size=300), fill=st.just(b"\0")))
    return kind, draw(arrays(DTYPES[kind], shape))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensor=tensors(), how=st.sampled_from(LAYOUTS), model=st.sampled_from(("echo", "relay")))
def test_every_tensor_comes_back_as_it_was_sent(
    triton: grpcclient.InferenceServerClient, tensor: tuple[str, np.ndarray], how: str, model: str
) -> None:
    kind, sent = tensor
    given_name, answered = (f"{end}_{kind}_{sent.ndim}" for end in ("in", "out"))
    value = grpcclient.InferInput(given_name, sent.shape, "BYTES" if kind == "STRING" else kind)
    value.set_data_from_numpy(sent)
    asked = [grpcclient.InferRequestedOutput(answered)]
    answer = triton.infer(model, [bytes_input("how", how.encode()), value], outputs=asked, client_timeout=20)
    received = answer.as_numpy(answered)
    assert (received.shape, received.dtype) == (sent.shape, sent.dtype)
    assert received.tobytes() == sent.tobytes() if kind != "STRING" else received.tolist() == sent.tolist()


def test_a_tensor_of_ten_megabytes_comes_back_as_it_was_sent(triton: grpcclient.InferenceServerClient) -> None:
    sent = np.random.default_rng(1).integers(0, 256, (2, 5_000_000), dtype=np.uint8)
    value = grpcclient.InferInput("in_UINT8_2", sent.shape, "UINT8")
    value.set_data_from_numpy(sent)
    asked = [grpcclient.InferRequestedOutput("out_UINT8_2")]
    answer = triton.infer("relay", [bytes_input("how", b"as it is"), value], outputs=asked, client_timeout=20)
    assert np.array_equal(answer.as_numpy("out_UINT8_2"), sent)
