"""The client of Triton: one gRPC connection, and a time limit on every call."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import grpc
from tritonclient.grpc import InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.grpc.service_pb2 import ModelInferResponse
from tritonclient.utils import InferenceServerException

from gateway.deadline import Deadline
from gateway.logs import get_logger
from gateway.problems import Problem
from gateway.results import InferenceResult
from gateway.retry import Backoff
from gateway.settings import Settings
from gateway.tensors import infer_request, read_result

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
_BACKOFF = Backoff(0.05, 1.0, jitter=0.3)
_STUB_DEATHS_BORNE = 2
WEIGHTS = "weights"
"""A parameter in the configuration of a pipeline's model: a digest of the models that it runs."""
Observe = Callable[[InferenceResult, float], None]
"""Told of every answer, and of the seconds it took."""
Carry = Callable[[int], None]
"""Told of the bytes that come under way, and, as less than nothing, of those that no longer are."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class ModelState:
    """One model as Triton's repository index has it; `state` is READY, LOADING, UNAVAILABLE or UNLOADING."""

    name: str
    version: str
    state: str
    reason: str


class Retry:
    """Decides whether one request to Triton is repeated: within its deadline, and for `patience_s` seconds at most.

    Triton's addresses and files are named in the log alone; callers are told that it did not answer.
    """

    def __init__(self, deadline: Deadline, patience_s: float) -> None:
        self._deadline = deadline
        self._patience = Deadline(patience_s)
        self._is_patient = patience_s > 0
        self._pauses = _BACKOFF.pauses()
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
        pause_s = next(self._pauses)
        if pause_s > min(self._deadline.remaining(), self._patience.remaining()):
            if self._is_patient:  # the others ask each second whether Triton is there
                _log.warning("Triton did not answer", reason=error.message())
            raise Problem("triton_unavailable", "Triton did not answer.", retry_after=_BACKOFF.longest_s)
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


def _first_line(message: str) -> str:
    """Without the traceback that a python model's error has below it: callers are told no paths."""
    return next(iter(message.strip().splitlines()), "nothing")
