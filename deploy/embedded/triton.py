"""The embedded Triton: its service, and the model folders with which it is started."""

import contextlib
import functools
import hashlib
import re
import shutil
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import tritonclient.grpc.aio as grpcclient

from deploy.embedded import CHECKOUT, StackError, hardware
from deploy.embedded.folders import Folders
from deploy.embedded.fused import write_fused
from deploy.embedded.hardware import SHARED_MEMORY, region_prefix, regions
from deploy.embedded.rights import PYTHON, Rights, python_folders
from deploy.embedded.supervisor import Service
from deploy.embedded.triton_wheel import TritonWheel, listening_options
from gateway.logs import get_logger
from gateway.pipelines.registry import Pipeline, build_registry
from gateway.settings import Settings
from gateway.triton import CHANNEL, WEIGHTS, weights_text
from steps.model_folder import BrokenModelError, ModelConfig, fault_of_model, readable_config
from steps.networks import IN_USE
from steps.object_detectors import MODEL, chosen_detectors, detector_models, detectors_of
from steps.run_models import NEEDS, run_by

Files: TypeAlias = dict[Path, tuple[int, int]]
"""Size and time of change of each file."""
PHOTO = cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
"""Photo that runs every model. On one core that takes a third of a second in all."""
NO_PHOTO = b""
"""Photo that is refused before any model runs, so that asking every second costs nothing."""
MODELS = CHECKOUT / "model_repository"
ENSEMBLES = CHECKOUT / "ensembles"
_EVENT = re.compile(r'"(?:(loading): ([^:"]+):|(?:successfully loaded|failed to load) \'([^\']+)\')')
"""Lines of Triton's log: it begins to load a model, or has finished with one."""
_log = get_logger("deploy.embedded")


class Triton(Service):
    """NVIDIA's tritonserver on loopback, with the ensembles whose models are here, fused if there is no GPU."""

    name = "triton"
    start_timeout = 1800.0

    def __init__(self, settings: Settings, folders: Folders, models: Path = MODELS) -> None:
        self._settings = settings
        self._folders = folders
        self._source = models
        self._generated = folders.triton
        self._wheel = TritonWheel(folders.home)
        self._region_prefix = region_prefix(settings)
        self._pipelines: list[str] = []
        self._photo = PHOTO
        self._notes: list[str] = []
        self._prepared_with, self._seen_last = Files(), Files()

    def prepare(self) -> None:
        """Assemble backends, ensembles and fused models, with the detectors that users have chosen by now.

        Raises StackError if no ensemble has all its models.
        """
        self.clean_up()
        self._prepared_with = self._seen_last = files_of(self._source)
        self._wheel.make()
        generated = self._wheel.link("generated", self._generated)
        given, self._models, ensembles, self._fused, self._served = (
            generated / name for name in ("given", "models", "ensembles", "fused", "served")
        )
        pipelines = build_registry(self._settings).values()
        link_folders([ENSEMBLES, *_folders(pipelines, ENSEMBLES.name)], given)
        link_folders([self._source, *_folders(pipelines, MODELS.name)], self._models)
        offered = {model for pipeline in pipelines for model in pipeline.models}
        missing = write_ensembles(given, self._models, ensembles, offered)
        require_full(pipelines, missing)
        missing = in_one_profile(pipelines, missing, ensembles)
        broken = detectors_of(self._source).broken.values()
        self._notes = [f"left out: {fault}" for fault in broken]
        self._pipelines = [ensemble for ensemble, models in missing.items() if not models]
        if not self._pipelines:
            models = sorted({model for each in missing.values() for model in each})
            raise StackError(
                "\n".join([f"models not exported yet: {', '.join(models)}; run `maskwright models export`", *broken])
            )
        self._tell(missing)
        hardware.require_gpu(self._settings)
        hardware.make_devices()
        settings = self._settings
        processes, threads = settings.triton_instances, settings.triton_threads
        write_fused(ensembles, self._models, self._fused, processes, threads)
        write_served(ensembles, self._models, self._served, settings.triton_tensorrt, self._engines())
        for folder in (self._generated, self._wheel.folder):
            self._folders.decoder.lend(folder)

    def command(self) -> list[str]:
        """All models of one folder are loaded at the start."""
        settings = self._settings
        return [
            str(self._wheel.executable),
            f"--model-repository={self._fused if self._is_fused() else self._served}",
            f"--backend-directory={self._wheel.backends}",
            f"--backend-config=python,shm-region-prefix-name={self._region_prefix}",
            f"--backend-config=python,stub-timeout-seconds={self.start_timeout:.0f}",  # for one process to load
            *listening_options(settings.triton_grpc_port, settings.triton_metrics_port, settings.triton_http_port),
            "--allow-gpu-metrics=false",
            "--exit-timeout-secs=10",
            "--log-format=ISO8601",
        ]

    def environment(self) -> Mapping[str, str]:
        """The wheel's, with what applies to our own models. It holds no secret."""
        scratch = str(self._folders.scratch(self._folders.decoder))
        return {
            **self._wheel.environment(),
            "HOME": scratch,
            "TMPDIR": scratch,
            "OPENCV_LOG_LEVEL": "SILENT",
            "CUDA_VISIBLE_DEVICES": hardware.visible_devices(self._settings),
            "OPENBLAS_NUM_THREADS": "1",  # its waiting threads spin: measured 27 instead of 36 photos a second
        }

    def ports(self) -> Mapping[str, int]:
        """Ports of gRPC and metrics, and of HTTP on request."""
        settings = self._settings
        asked = {"TRITON_HTTP_PORT": settings.triton_http_port} if settings.triton_http_port else {}
        return {
            **asked,
            "TRITON_GRPC_PORT": settings.triton_grpc_port,
            "TRITON_METRICS_PORT": settings.triton_metrics_port,
        }

    def is_outdated(self) -> bool:
        """Whether models were added, removed or chosen since the start, and nothing more changes for a second."""
        before, self._seen_last = self._seen_last, files_of(self._source)
        return self._seen_last == before != self._prepared_with

    def rights(self) -> Rights:
        """The server, its models, and the machine's shared memory. Never more, because it opens strangers' photos."""
        user = self._folders.decoder
        package = self._wheel.package
        libraries = package.with_name("nvidia_pytriton.libs")
        return Rights(
            user,
            [self._wheel.executable.resolve(), PYTHON],
            read=[self._wheel.folder, *python_folders(), package, libraries, self._source, self._generated],
            write=[SHARED_MEMORY, self._folders.scratch(user)],
            entries=[Path("/tmp")],  # noqa: S108 - where the python backend makes a folder, and never uses it
            listed=[Path("/tmp")],  # noqa: S108 - it looks through that folder before it removes it
            always_confined=True,
        )

    async def probe(self) -> None:
        """Ask every pipeline: Triton 2.51 reports ready although a python process is dead.

        Until every model has served a tiny photo, one is sent. Later an empty one is sent, which the processes refuse
        themselves. The probe waits as long as a caller would, because a healthy Triton with slow photos answers late.
        """
        url = f"127.0.0.1:{self._settings.triton_grpc_port}"
        await infer_every(url, self._pipelines, self._photo, self._settings.request_timeout_s)
        self._photo = NO_PHOTO

    def doing(self, log: str) -> str:
        """The models that it is loading."""
        models = models_loading(log)
        return f"loading {', '.join(models)}" if models else ""

    def notes(self) -> Sequence[str]:
        """The models that are left out, and why."""
        return self._notes

    def clean_up(self) -> None:
        """Remove the shared memory that a killed Triton leaves behind. The next one has served nothing yet."""
        self._photo = PHOTO
        for region in regions(self._settings):
            region.unlink(missing_ok=True)
        self._wheel.remove()

    def _engines(self) -> Path:
        """The folder of Triton's user in which TensorRT keeps what it built."""
        return self._folders.scratch(self._folders.decoder) / "tensorrt"

    def _is_fused(self) -> bool:
        settings = self._settings
        gpu = settings.schp_device != "cpu" and hardware.driver_is_here()
        return settings.triton_layout == "fused" or (settings.triton_layout == "auto" and not gpu)

    def _tell(self, missing: Mapping[str, list[str]]) -> None:
        """Log which detectors search for objects, and what cannot be served. `maskwright models list` says why."""
        _log.info("detectors are chosen", **{role: one.model for role, one in chosen_detectors(self._models).items()})
        absent = [model.detector.model for model in detector_models(self._models) if not model.ready]
        if absent:
            _log.warning("detectors are missing, what they would find is not found", models=absent)
        for note in self._notes:
            _log.error(f"a model is {note}")
        for pipeline in (name for name, models in missing.items() if models):
            _log.warning("pipeline is left out, models are missing", pipeline=pipeline, models=missing[pipeline])


def _folders(pipelines: Iterable[Pipeline], name: str) -> list[Path]:
    """The folders of this name that installed packages bring with their pipelines."""
    folders = (pipeline.folder / name for pipeline in pipelines if pipeline.folder)
    return [folder for folder in folders if folder.is_dir()]


def link_folders(sources: Iterable[Path], target: Path) -> None:
    """Link every folder inside the sources into `target`; of those with the same name the first."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    found = {path.name: path for source in reversed([*sources]) for path in source.iterdir() if path.is_dir()}
    for name, path in found.items():
        (target / name).symlink_to(path)


def models_loading(log: str) -> list[str]:
    """The models that Triton has begun to load by its log, and not finished."""
    loading: dict[str, None] = {}
    for begun, model, done in _EVENT.findall(log):
        if begun:
            loading[model] = None
        else:
            loading.pop(done, None)
    return list(loading)


async def infer_every(url: str, models: list[str], photo: bytes, deadline: float) -> None:
    """Send a photo to each model. Raises InferenceServerException if one takes over `deadline` seconds."""
    inputs = [_bytes_input("image", photo), _bytes_input("parameters", b"{}")]
    async with grpcclient.InferenceServerClient(url, channel_args=CHANNEL) as client:
        for model in models:
            await client.infer(model, inputs, client_timeout=deadline)


def _bytes_input(name: str, value: bytes) -> grpcclient.InferInput:
    tensor = grpcclient.InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([value], dtype=np.object_))
    return tensor


def write_ensembles(
    ensembles: Path, model_repository: Path, target: Path, wanted: Container[str]
) -> Mapping[str, list[str]]:
    """Write the `wanted` ensembles that can run into `target`. Return the missing models of each, none if written."""
    shutil.rmtree(target, ignore_errors=True)
    digest_of = functools.cache(_digest)  # ensembles share models
    missing = {}
    for folder in sorted(path.parent for path in ensembles.glob("*/config.pbtxt") if path.parent.name in wanted):
        written = target / folder.name
        (written / "1").mkdir(parents=True)
        shutil.copy(folder / "config.pbtxt", written)
        missing[folder.name] = list(_missing(ModelConfig(written), model_repository))
        if missing[folder.name]:
            shutil.rmtree(written)
        else:
            _note_weights(ModelConfig(written), model_repository, digest_of)
    return missing


def require_full(pipelines: Iterable[Pipeline], missing: Mapping[str, list[str]]) -> None:
    """Raise StackError, with what to add, if a pipeline may run on the user's checkpoints alone and has not all."""
    lacking = [entry for entry in pipelines if entry.profile == "full" and missing.get(entry.model)]
    if lacking:
        told = "; ".join(f"{entry.name} needs {', '.join(missing[entry.model])}" for entry in lacking)
        raise StackError(f"PROFILE=full, but {told}. PROFILE=auto serves the lite models until then")


def in_one_profile(
    pipelines: Iterable[Pipeline], missing: Mapping[str, list[str]], ensembles: Path
) -> Mapping[str, list[str]]:
    """What write_ensembles returned, without the models of pipelines that those of another profile serve.

    These are removed: a full one takes the place of the lite one where it is ready.
    """
    replaced = {entry.full if missing.get(entry.full) else entry.model for entry in pipelines if entry.full}
    for model in replaced:
        shutil.rmtree(ensembles / model, ignore_errors=True)
    return {model: models for model, models in missing.items() if model not in replaced}


def _missing(ensemble: ModelConfig, model_repository: Path) -> Iterable[str]:
    """The models of an ensemble that were not exported, or are broken. Not every machine can fetch them all."""
    steps = [name for name, _, _ in ensemble.steps]
    yield from (NEEDS[name] for name in steps if name in NEEDS and not run_by([name], model_repository))
    for name in steps:
        try:
            model = readable_config(model_repository / name)
        except BrokenModelError:
            yield name
            continue
        if model.backend == "onnxruntime" and fault_of_model(model.folder / MODEL):
            yield name


def _note_weights(ensemble: ModelConfig, model_repository: Path, digest_of: Callable[[Path], bytes]) -> None:
    """Record in an ensemble which networks it uses, so that cached results of others are not used, and answers say."""
    digest, networks = hashlib.sha256(), {}
    for name in models_of(ensemble, model_repository):
        folder = model_repository / name
        digest.update(name.encode())
        for file in (folder / "config.pbtxt", folder / MODEL):
            digest.update(digest_of(file))
        if (folder / MODEL).is_file():
            networks[name] = digest_of(folder / MODEL).hex()
    said = weights_text(digest.hexdigest(), networks)
    with (ensemble.folder / "config.pbtxt").open("a", encoding="utf-8") as config:
        config.write(f"parameters {{ key: \"{WEIGHTS}\" value {{ string_value: '{said}' }} }}\n")


def models_of(ensemble: ModelConfig, model_repository: Path) -> list[str]:
    """Every model that an ensemble runs: its steps, and the networks that these run themselves."""
    steps = [name for name, _, _ in ensemble.steps]
    return [*steps, *run_by(steps, model_repository)]


def _digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b"-"


def files_of(model_repository: Path) -> Files:
    """What decides which models are served, each file with its size and time."""
    found = {}
    for pattern in ("config.pbtxt", str(MODEL), IN_USE):
        for path in model_repository.glob(f"[!.]*/{pattern}"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found[path] = (status.st_size, status.st_mtime_ns)
    return found


def write_served(ensembles: Path, model_repository: Path, target: Path, tensorrt: str, engines: Path) -> None:
    """Link the ensembles, and every model that they run, into `target`. Triton loads all that it finds there.

    `tensorrt` is the precision in which TensorRT runs the networks, or `off`; it keeps its engines in a folder.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    folders = [path.parent for path in ensembles.glob("*/config.pbtxt")]
    models = {model for folder in folders for model in models_of(ModelConfig(folder), model_repository)}
    for folder in (*folders, *(model_repository / model for model in models)):
        (target / folder.name).symlink_to(folder)
    if tensorrt != "off":
        for name in models:
            _accelerate(target / name, tensorrt, engines)


def _accelerate(link: Path, precision: str, engines: Path) -> None:
    """Replace the link to an ONNX model by a folder that is the same but for TensorRT in its configuration."""
    source = link.resolve()
    config = ModelConfig(source)
    if config.backend != "onnxruntime":
        return
    link.unlink()
    link.mkdir()
    for path in source.iterdir():
        (link / path.name).symlink_to(path)
    (link / "config.pbtxt").unlink()
    (link / "config.pbtxt").write_text(config.accelerated(precision.upper(), engines / config.name), encoding="utf-8")
