"""The embedded Triton."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.embedded import gpus
from deploy.embedded.ensembles import write_ensembles, write_served
from deploy.embedded.errors import StackError
from deploy.embedded.folders import CHECKOUT, Folders
from deploy.embedded.fused import Fusing, write_fused
from deploy.embedded.rights import PYTHON, Rights, python_folders
from deploy.embedded.service import Service
from deploy.embedded.shared_memory import SHARED_MEMORY, region_prefix, regions
from deploy.embedded.triton_probe import NO_PHOTO, PHOTO, infer_every
from deploy.embedded.triton_wheel import TritonWheel, listening_options
from gateway.logs import get_logger
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings
from steps.object_detectors import chosen_detectors, detector_models, detectors_of

MODELS = CHECKOUT / "model_repository"
ENSEMBLES = CHECKOUT / "ensembles"

_EVENT = re.compile(r'"(?:(loading): ([^:"]+):|(?:successfully loaded|failed to load) \'([^\']+)\')')
"""Of Triton's log: a model that it begins to load, or one that it is done with."""

_log = get_logger("deploy.embedded")


class Triton(Service):
    """NVIDIA's tritonserver on loopback, with the ensembles whose models are here, fused where there is no GPU."""

    name = "triton"
    start_timeout = 1800.0

    def __init__(self, settings: Settings, folders: Folders, models: Path = MODELS) -> None:
        self._settings = settings
        self._folders = folders
        self._given = {"models": models, "generated": folders.triton}
        self._wheel = TritonWheel(folders.home)
        self._region_prefix = region_prefix(settings)
        self._pipelines: list[str] = []
        self._photo = PHOTO
        self._notes: list[str] = []

    def prepare(self) -> None:
        """Assemble backends, ensembles and fused models; refuse to start where no ensemble has all its models."""
        self.clean_up()
        self._wheel.make()
        self._models, generated = (self._wheel.link(name, target) for name, target in self._given.items())
        ensembles, self._fused, self._served = (generated / name for name in ("ensembles", "fused", "served"))
        offered = {model for pipeline in build_registry(self._settings).values() for model in pipeline.models}
        missing = write_ensembles(ENSEMBLES, self._models, ensembles, offered)
        broken = detectors_of(self._given["models"]).broken.values()
        self._notes = [f"left out: {fault}" for fault in broken]
        self._pipelines = [ensemble for ensemble, models in missing.items() if not models]
        if not self._pipelines:
            models = sorted({model for each in missing.values() for model in each})
            raise StackError(
                "\n".join([f"models not exported yet: {', '.join(models)}; run `maskwright models export`", *broken])
            )
        self._tell(missing)
        gpus.require_gpu(self._settings)
        gpus.make_devices()
        fusing = Fusing(self._settings.triton_instances, self._settings.triton_threads)
        write_fused(ensembles, self._models, self._fused, fusing)
        write_served(ensembles, self._models, self._served)
        for folder in (self._given["generated"], self._wheel.folder):
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
        """The wheel's, with what holds for our own models; no secret is in it."""
        scratch = str(self._folders.scratch(self._folders.decoder))
        return {
            **self._wheel.environment(),
            "HOME": scratch,
            "TMPDIR": scratch,
            "OPENCV_LOG_LEVEL": "SILENT",
            "CUDA_VISIBLE_DEVICES": gpus.visible_devices(self._settings),
            "OPENBLAS_NUM_THREADS": "1",  # its waiting threads spin: measured 27 instead of 36 photos a second
        }

    def ports(self) -> Mapping[str, int]:
        """Of gRPC and metrics; of HTTP where it is asked for."""
        settings = self._settings
        asked = {"TRITON_HTTP_PORT": settings.triton_http_port} if settings.triton_http_port else {}
        return {
            **asked,
            "TRITON_GRPC_PORT": settings.triton_grpc_port,
            "TRITON_METRICS_PORT": settings.triton_metrics_port,
        }

    def rights(self) -> Rights:
        """The server, its models, and the shared memory of the machine; always no more: it opens strangers' photos."""
        user = self._folders.decoder
        package = self._wheel.package
        libraries = package.with_name("nvidia_pytriton.libs")
        return Rights(
            user,
            [self._wheel.executable.resolve(), PYTHON],
            read=[self._wheel.folder, *python_folders(), package, libraries, *self._given.values()],
            write=[SHARED_MEMORY, self._folders.scratch(user)],
            entries=[Path("/tmp")],  # noqa: S108 - where the python backend makes a folder, and never uses it
            listed=[Path("/tmp")],  # noqa: S108 - it looks through that folder before it removes it
            always_confined=True,
        )

    async def probe(self) -> None:
        """Ask every pipeline: Triton 2.51 calls itself ready with a dead python process.

        A tiny photo goes through every model until all have served it, later only through the processes. It waits as
        long as a caller would: behind slow photos a healthy Triton answers late.
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
        """Remove the shared memory that a killed Triton leaves behind; the next one has served nothing yet."""
        self._photo = PHOTO
        for region in regions(self._settings):
            region.unlink(missing_ok=True)
        self._wheel.remove()

    def renew(self) -> None:
        """Write the ensembles anew: their steps will know the detectors that users have chosen since."""
        self.prepare()

    def _is_fused(self) -> bool:
        settings = self._settings
        gpu = settings.schp_device != "cpu" and gpus.driver_is_here()
        return settings.triton_layout == "fused" or (settings.triton_layout == "auto" and not gpu)

    def _tell(self, missing: Mapping[str, list[str]]) -> None:
        """Log which detectors look for objects, and what cannot be served; `maskwright models list` says why."""
        _log.info("detectors are chosen", **{role: one.model for role, one in chosen_detectors(self._models).items()})
        absent = [model.detector.model for model in detector_models(self._models) if not model.ready]
        if absent:
            _log.warning("detectors are missing, what they would find is not found", models=absent)
        for note in self._notes:
            _log.error(f"a model is {note}")
        for pipeline in (name for name, models in missing.items() if models):
            _log.warning("pipeline is left out, models are missing", pipeline=pipeline, models=missing[pipeline])


def models_loading(log: str) -> list[str]:
    """The models that Triton has begun to load by its log, and not ended."""
    loading: dict[str, None] = {}
    for begun, model, done in _EVENT.findall(log):
        if begun:
            loading[model] = None
        else:
            loading.pop(done, None)
    return list(loading)
