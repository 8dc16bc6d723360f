"""Triton over gRPC: the client, the tensors of its models, which failures are worth another try, and who can serve."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from tritonclient.grpc import InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse
from tritonclient.utils import InferenceServerException

from gateway.errors import PROBLEMS, Problem
from gateway.logs import get_logger
from gateway.pipelines.outputs import Artifact, InferenceResult
from gateway.pipelines.registry import Pipeline
from gateway.settings import Settings
from gateway.timing import Backoff, Deadline

_MAX_MESSAGE_BYTES = 2**31 - 1
CHANNEL = (
    ("grpc.enable_http_proxy", 0),  # the environment's proxy is for the web, and gRPC would use it for loopback too
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
"""Options of every channel to Triton."""
WEIGHTS = "weights"
"""A parameter in the configuration of a pipeline's model: what it runs, as `weights_text` writes it."""

_MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
_SMALL = 1024 * 1024
_RAW_CONTENTS = bytes(((7 << 3) | 2,))
"""What begins each of `raw_input_contents` of a ModelInferRequest: its number, and that a length follows."""
_BACKOFF = Backoff(0.05, 1.0, jitter=0.3)
_STUB_DEATHS_BORNE = 2
_PROBE_S = 5.0

Observe = Callable[[InferenceResult, float], None]
CountBytes = Callable[[int], None]

_log = get_logger(__name__)


def _ignore(*_seen: object) -> None:
    """Observe nothing."""


@dataclass(frozen=True)
class ModelState:
    """One model as Triton's repository index has it; `state` is READY, LOADING, UNAVAILABLE or UNLOADING."""

    name: str
    version: str
    state: str
    reason: str


class Triton:
    """Inference over one channel; Triton need not be up when it is made.

    `observe` is called with every result and the seconds it took; `count_bytes` with the bytes of a photo when it is
    sent, and with as many less than zero when it was answered.
    """

    def __init__(
        self,
        client: InferenceServerClient,
        channel: grpc.aio.Channel,
        patience_s: float,
        observe: Observe = _ignore,
        count_bytes: CountBytes = _ignore,
    ) -> None:
        self._client = client
        self._channel = channel
        self._model_infer = channel.unary_unary(_MODEL_INFER, response_deserializer=ModelInferResponse.FromString)
        self._patience_s = patience_s
        self._observe = observe
        self._count_bytes = count_bytes

    def impatient(self) -> "Triton":
        """The same channel, unobserved, for callers who want to hear at once that Triton is away."""
        return Triton(self._client, self._channel, 0.0)

    async def infer(self, model: str, image: bytes, parameters: bytes, deadline: Deadline) -> InferenceResult:
        """Run a model on an encoded photo and a JSON object.

        While Triton cannot be reached the call is repeated: inference has no side effects. Raises Problem
        `triton_unavailable`, `model_missing`, `deadline_exceeded`, `inference_failed`, or what the model says about the
        photo.
        """
        if len(image) <= _SMALL:
            request = infer_request(model, image, parameters)
        else:
            request = await asyncio.to_thread(infer_request, model, image, parameters)
        began = time.monotonic()
        self._count_bytes(len(image))
        try:
            result = read_result(InferResult(await self._answer(request, Retry(deadline, self._patience_s))))
        finally:
            self._count_bytes(-len(image))
        self._observe(result, time.monotonic() - began)
        return result

    async def _answer(self, request: bytes, retry: "Retry") -> ModelInferResponse:
        while True:
            try:
                return await self._model_infer(request, timeout=retry.attempt_s())
            except grpc.RpcError as error:
                await retry.after(InferenceServerException(error.details(), str(error.code())))

    async def models(self, timeout_s: float) -> tuple[ModelState, ...]:
        """The models Triton knows, ready or not; none where it cannot be reached in time."""
        try:
            index = await self._client.get_model_repository_index(client_timeout=timeout_s)
        except InferenceServerException:
            return ()
        return tuple(ModelState(item.name, item.version, item.state, item.reason) for item in index.models)

    async def weights(self, model: str, timeout_s: float) -> str | None:
        """What a pipeline's model runs, as the embedded stack's launcher wrote it.

        Empty where nobody wrote one, None where Triton cannot be reached in time.
        """
        try:
            answer = await self._client.get_model_config(model, client_timeout=timeout_s)
        except InferenceServerException:
            return None
        return str(answer.config.parameters[WEIGHTS].string_value)


def weights_text(digest: str, networks: Mapping[str, str]) -> str:
    """JSON of a digest of everything that a model runs, and of the digest of each network by name."""
    return json.dumps({"digest": digest, "networks": networks}, separators=(",", ":"))


def weights_in(text: str) -> dict[str, str]:
    """The networks that `weights_text` wrote; none in anything else."""
    try:
        networks = json.loads(text)["networks"]
        return {str(name): str(digest) for name, digest in networks.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


@asynccontextmanager
async def connect(
    settings: Settings, observe: Observe = _ignore, count_bytes: CountBytes = _ignore
) -> AsyncIterator[Triton]:
    """A client for as long as the context lasts."""
    url = settings.triton_grpc_url
    async with (
        InferenceServerClient(url, channel_args=CHANNEL) as client,
        grpc.aio.insecure_channel(url, options=CHANNEL) as channel,  # over the same connection: gRPC shares them
    ):
        yield Triton(client, channel, settings.triton_patience_s, observe, count_bytes)


def infer_request(model: str, image: bytes, parameters: bytes) -> bytes:
    """A ModelInferRequest of two BYTES tensors of shape [1], encoded.

    Not with tritonclient, which copies a photo four times on its way, three of them for as long as the model runs.
    """
    head = ModelInferRequest(model_name=model)
    for name in ("image", "parameters"):
        head.inputs.add(name=name, datatype="BYTES", shape=[1])
    return b"".join((head.SerializeToString(), *_raw_contents(image), *_raw_contents(parameters)))


def _raw_contents(value: bytes) -> tuple[bytes, ...]:
    """One element of a BYTES tensor: its length, then the bytes."""
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
    named = zip(_elements(answer, "artifact_names"), _elements(answer, "artifacts"), strict=True)
    try:
        return InferenceResult(result, tuple(Artifact(name.decode(), content) for name, content in named))
    except ValueError as error:
        raise Problem("inference_failed", "The model's artifacts and their names do not match.") from error


def _elements(answer: InferResult, name: str) -> list[bytes]:
    tensor = answer.as_numpy(name)
    return [] if tensor is None else list(tensor)


def _refusal(result: dict[str, object]) -> Problem:
    code, detail = str(result.get("reason")), str(result.get("detail"))
    return Problem(code, detail) if code in PROBLEMS else Problem("inference_failed", f"{code}: {detail}")


class Retry:
    """The attempts of one request: with growing pauses, until its deadline, or until the patience ends.

    Triton's addresses and paths are written to the log alone; callers are told that it did not answer.
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
            if self._is_patient:  # readiness asks every second without patience: its failures are no news
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
        message = error.message()
        if error.status() == "StatusCode.NOT_FOUND":
            detail = f"Triton answered: {message}; `maskwright models verify` says what is missing."
            return Problem("model_missing", detail)
        _log.warning("Triton failed", reason=message)
        first_line = next(iter(message.strip().splitlines()), "nothing")  # below it may be a traceback with paths
        return Problem("inference_failed", f"Triton answered: {first_line}")


@dataclass(frozen=True)
class Readiness:
    """Each pipeline's readiness by name, and the models' states."""

    pipelines: Mapping[str, bool]
    models: tuple[ModelState, ...]

    @property
    def ready(self) -> bool:
        """Whether every pipeline can serve."""
        return all(self.pipelines.values())


async def readiness(triton: Triton, pipelines: Iterable[Pipeline]) -> Readiness:
    """Sends each pipeline a request without a photo, which its model must refuse.

    Triton's own ready endpoint says yes while a python model's process is dead, so it is not asked. A real photo would
    have the networks run as well, which would take a third of each second; the launcher tries them at the start.
    """
    asked, impatient = tuple(pipelines), triton.impatient()
    serving = asyncio.gather(*(_serves(impatient, pipeline) for pipeline in asked))
    serve, models = await asyncio.gather(serving, impatient.models(_PROBE_S))
    return Readiness({pipeline.name: serves for pipeline, serves in zip(asked, serve, strict=True)}, models)


async def _serves(triton: Triton, pipeline: Pipeline) -> bool:
    """Whether all its models answer, of those that Triton has."""
    answers = await asyncio.gather(*(_answers(triton, model) for model in pipeline.models))
    present = [answer for answer in answers if answer is not None]
    return bool(present) and all(present)


async def _answers(triton: Triton, model: str) -> bool | None:
    """None where Triton has no such model."""
    try:
        await triton.infer(model, b"", b"{}", Deadline(_PROBE_S))
    except Problem as problem:
        missing = problem.code == "model_missing"
        return None if missing else PROBLEMS[problem.code].status in range(400, 500)
    return True
