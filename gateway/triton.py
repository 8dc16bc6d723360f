"""The client of Triton: one gRPC connection, and a time limit on every call."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import grpc
from tritonclient.grpc import InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse
from tritonclient.utils import InferenceServerException

from gateway.deadlines import Deadline
from gateway.errors import PROBLEMS, Problem
from gateway.logs import get_logger
from gateway.results import Artifact, InferenceResult
from gateway.settings import Settings

_RAW_CONTENTS = bytes(((7 << 3) | 2,))
"""What begins each of `raw_input_contents` of a ModelInferRequest: its number, and that a length follows."""


def infer_request(model: str, image: bytes, parameters: bytes) -> bytes:
    """A ModelInferRequest of two BYTES tensors of shape [1], encoded.

    Not with tritonclient, which copies a photo four times on its way, three of them for as long as the model runs.
    """
    head = ModelInferRequest(model_name=model)
    for name in ("image", "parameters"):
        head.inputs.add(name=name, datatype="BYTES", shape=[1])
    return b"".join((head.SerializeToString(), *_raw_contents(image), *_raw_contents(parameters)))


def _raw_contents(value: bytes) -> tuple[bytes, ...]:
    """One element of a BYTES tensor, which is its length and itself."""
    length = len(value).to_bytes(4, "little")
    return _RAW_CONTENTS, _varint(len(length) + len(value)), length, value


def _varint(number: int) -> bytes:
    """Seven bits a byte, the least first; the eighth says that more follow (protobuf's encoding)."""
    low, rest = number & 0x7F, number >> 7
    return bytes((low | 0x80,)) + _varint(rest) if rest else bytes((low,))


def read_result(answer: InferResult) -> InferenceResult:
    """Result and artifacts of an answer.

    Raises Problem with the model's own reason where it refused the photo, `inference_failed` where the answer does not
    keep the contract.
    """
    try:
        result = json.loads(_elements(answer, "result")[0])
        status = result["status"]
    except (LookupError, TypeError, ValueError) as error:
        raise Problem("inference_failed", "The model's result is not a JSON object with a status.") from error
    if status != "completed":
        raise _refusal(result)
    return InferenceResult(result, _artifacts(answer))


def _artifacts(answer: InferResult) -> tuple[Artifact, ...]:
    named = zip(_elements(answer, "artifact_names"), _elements(answer, "artifacts"), strict=True)
    try:
        return tuple(Artifact(name.decode(), content) for name, content in named)
    except ValueError as error:
        raise Problem("inference_failed", "The model's artifacts and their names do not match.") from error


def _elements(answer: InferResult, name: str) -> list[bytes]:
    tensor = answer.as_numpy(name)
    return [] if tensor is None else list(tensor)


def _refusal(result: dict[str, object]) -> Problem:
    code, detail = str(result.get("reason")), str(result.get("detail"))
    if code in PROBLEMS:
        return Problem(code, detail)
    return Problem("inference_failed", f"{code}: {detail}")


_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_STUB_DEATHS_BORNE = 2

_log = get_logger(__name__)


class Retry:
    """The attempts of one request: exponential backoff with jitter, within its deadline and the patience allowed."""

    def __init__(self, deadline: Deadline, patience_s: float) -> None:
        self._deadline = deadline
        self._patience = Deadline(patience_s)
        self._is_patient = patience_s > 0
        self._pause_s = _FIRST_PAUSE_S
        self._stub_deaths = 0

    def attempt_s(self) -> float:
        """Seconds the next attempt may take. Raises Problem `deadline_exceeded`."""
        remaining = self._deadline.remaining()
        if remaining <= 0:
            raise self._deadline.exceeded()
        return remaining

    async def after(self, error: InferenceServerException) -> None:
        """Pause before the next attempt.

        Raises Problem where another would be useless or too late: `deadline_exceeded`, `triton_unavailable`,
        `model_missing`, `inference_failed`.
        """
        if not self._transient(error):
            raise self._final(error)
        pause_s = self._pause_s * random.uniform(0.7, 1.3)  # noqa: S311 jitter, not a secret
        if pause_s > min(self._deadline.remaining(), self._patience.remaining()):
            if self._is_patient:  # who is not asks each second whether Triton is there
                _log.warning("Triton did not answer", reason=error.message())
            raise Problem("triton_unavailable", "Triton did not answer.", retry_after=self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s)

    def _transient(self, error: InferenceServerException) -> bool:
        """Whether Triton is away, or its python process died; a photo that kills it again and again is given up."""
        if "stub process" in error.message().lower():
            self._stub_deaths += 1
            return self._stub_deaths <= _STUB_DEATHS_BORNE
        return bool(error.status() == "StatusCode.UNAVAILABLE")

    def _final(self, error: InferenceServerException) -> Problem:
        if error.status() == "StatusCode.DEADLINE_EXCEEDED":
            return self._deadline.exceeded()
        if error.status() == "StatusCode.NOT_FOUND":
            detail = f"Triton answered: {error.message()}; `maskwright models verify` says what is missing."
            return Problem("model_missing", detail)
        _log.warning("Triton failed", reason=error.message())
        return Problem("inference_failed", f"Triton answered: {_first_line(error.message())}")


def _first_line(message: str) -> str:
    """Without the traceback that a python model's error has below it: callers are told no paths."""
    return next(iter(message.strip().splitlines()), "nothing")


_MAX_MESSAGE_BYTES = 2**31 - 1
CHANNEL = (
    ("grpc.enable_http_proxy", 0),  # the environment's proxy is for the web, and gRPC would take it for loopback too
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
"""Options of every channel to Triton."""

_MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
_SMALL = 1024 * 1024
WEIGHTS = "weights"
"""A parameter in the configuration of a pipeline's model: a digest of the models that it runs."""
Observe = Callable[[InferenceResult, float], None]
"""Told of every answer, and of the seconds it took."""
Carry = Callable[[int], None]
"""Told of the bytes that come under way, and, as less than nothing, of those that no longer are."""


@dataclass(frozen=True)
class ModelState:
    """One model as Triton's repository index has it; `state` is READY, LOADING, UNAVAILABLE or UNLOADING."""

    name: str
    version: str
    state: str
    reason: str


class Triton:
    """Inference over one channel; Triton need not be up when it is made."""

    def __init__(
        self,
        client: InferenceServerClient,
        channel: grpc.aio.Channel,
        patience_s: float,
        observe: Observe | None = None,
        carry: Carry | None = None,
    ) -> None:
        self._client = client
        self._channel = channel
        self._model_infer = channel.unary_unary(_MODEL_INFER, response_deserializer=ModelInferResponse.FromString)
        self._patience_s = patience_s
        self._observe = observe
        self._carry = carry

    def impatient(self) -> "Triton":
        """The same channel, unobserved, for callers who want to hear at once that Triton is away."""
        return Triton(self._client, self._channel, 0.0)

    async def infer(self, model: str, image: bytes, parameters: bytes, deadline: Deadline) -> InferenceResult:
        """Run a model on an encoded photo and a JSON object.

        While Triton cannot be reached the call is repeated: inference has no side effects. Raises Problem
        `triton_unavailable`, `model_missing`, `deadline_exceeded`, `inference_failed`, or what the model says about the
        photo.
        """
        request = await _off_loop(model, image, parameters)
        retry, began = Retry(deadline, self._patience_s), time.monotonic()
        with self._carried(len(image)):
            while True:
                try:
                    answer = await self._model_infer(request, timeout=retry.attempt_s())
                except grpc.RpcError as error:
                    await retry.after(InferenceServerException(error.details(), str(error.code())))
                else:
                    return self._observed(read_result(InferResult(answer)), time.monotonic() - began)

    @contextmanager
    def _carried(self, size: int) -> Iterator[None]:
        carry = self._carry or (lambda _size: None)
        carry(size)
        try:
            yield
        finally:
            carry(-size)

    def _observed(self, inference: InferenceResult, duration_s: float) -> InferenceResult:
        if self._observe:
            self._observe(inference, duration_s)
        return inference

    async def models(self, timeout_s: float) -> tuple[ModelState, ...]:
        """The models Triton knows, ready or not; none where it cannot be reached in time."""
        try:
            index = await self._client.get_model_repository_index(client_timeout=timeout_s)
        except InferenceServerException:
            return ()
        return tuple(ModelState(item.name, item.version, item.state, item.reason) for item in index.models)

    async def weights(self, model: str, timeout_s: float) -> str | None:
        """What a pipeline's model is made of, as the embedded stack's launcher noted it; empty where nobody did.

        None where Triton cannot be reached in time.
        """
        try:
            answer = await self._client.get_model_config(model, client_timeout=timeout_s)
        except InferenceServerException:
            return None
        return str(answer.config.parameters[WEIGHTS].string_value)


@asynccontextmanager
async def connect(
    settings: Settings, observe: Observe | None = None, carry: Carry | None = None
) -> AsyncIterator[Triton]:
    """A client for as long as the context lasts."""
    url = settings.triton_grpc_url
    async with (
        InferenceServerClient(url, channel_args=CHANNEL) as client,
        grpc.aio.insecure_channel(url, options=CHANNEL) as channel,  # over the same connection: gRPC shares them
    ):
        yield Triton(client, channel, settings.triton_patience_s, observe, carry)


async def _off_loop(model: str, image: bytes, parameters: bytes) -> bytes:
    """The request; a large photo is copied into it in a thread."""
    if len(image) <= _SMALL:
        return infer_request(model, image, parameters)
    return await asyncio.to_thread(infer_request, model, image, parameters)
