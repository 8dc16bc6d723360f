"""`maskwright models export --tensorrt`: a model repository whose networks are TensorRT plans.

It stands in place of `model_repository`: what has no plan is linked. A plan fits one kind of GPU and one version of
TensorRT, so that it is built where it will run.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from google.protobuf import text_format
from pydantic import BaseModel, ConfigDict, ValidationError
from tritonclient.grpc import model_config_pb2

from exporters.catalogue import Paths, sha256
from exporters.downloads import Listener
from exporters.errors import ExporterError, ParityError, TranslationError, UnknownNameError
from exporters.forms.agreement import BoxAgreement, LabelAgreement
from exporters.forms.photos import sample_photos
from exporters.forms.precision import Images, is_quantized
from exporters.forms.report import Agreements, Session, answers_compared
from exporters.parity import Difference
from exporters.repository import building
from exporters.tensorrt.graph import Profile, profile_of, with_early_floats
from exporters.tensorrt.trtexec import Trtexec
from steps.model_folder import BrokenModelError, ModelConfig, fault_of_model, readable_config
from steps.object_detectors import MODEL

REPOSITORY = "model_repository_trt"
PLAN, REPORT = Path("1", "model.plan"), Path("1", "plan.json")
_MEAN, _SAME = 1e-3, 0.999
"""Bars: the mean difference of maps, in units of their own spread; the share of equal labels and of found boxes."""
_BATCH = 3
_OPTIONS = ("intra_op_thread_count", "inter_op_thread_count", "session.intra_op.allow_spinning", "enable_mem_arena")
"""Parameters of onnxruntime alone."""


class PlanReport(BaseModel):
    """What a plan was built of and with, and how far it agrees with the ONNX model on the sample photos."""

    model_config = ConfigDict(frozen=True)

    model: str
    source_sha256: str
    plan_sha256: str
    tensorrt: str
    gpu: str
    """The version and the GPU that built it, and that alone can run it."""
    shapes: Sequence[Sequence[int]]
    """Least, best and largest image N×H×W×3."""
    labels: LabelAgreement | None
    boxes: BoxAgreement | None
    outputs: Mapping[str, Difference]

    @property
    def fault(self) -> str:
        """What is beyond the bars. Empty if nothing is."""
        faults = [f"{name} differs by {gap.mean:.1e}" for name, gap in self.outputs.items() if gap.mean > _MEAN]
        if self.labels and self.labels.equal < _SAME:
            faults.append(f"{self.labels.equal:.2%} of the labels are equal")
        if self.boxes and min(self.boxes.found, self.boxes.confirmed) < _SAME:
            faults.append(f"{self.boxes.found:.1%} of the boxes are found")
        return ", ".join(faults)


@dataclass(frozen=True)
class Order:
    """A model that is to get a plan, prepared as far as that needs no GPU."""

    name: str
    config: ModelConfig
    profile: Profile
    graph: onnx.ModelProto


def plan_orders(names: Sequence[str], paths: Paths) -> list[Order]:
    """Prepare the models, or without names all that are built and that TensorRT may take.

    Raises UnknownNameError, TranslationError.
    """
    ready = {config.name: config for config in _built(paths.model_repository)}
    unknown = [name for name in names if name not in ready]
    if unknown:
        raise UnknownNameError(unknown, sorted(ready))
    if names:
        return [_order(ready[name], _graph(ready[name])) for name in names]
    graphs = ((config, _graph(config)) for _, config in sorted(ready.items()))
    return [_order(config, graph) for config, graph in graphs if not is_quantized(graph)]


def _graph(config: ModelConfig) -> onnx.ModelProto:
    return onnx.load(config.folder / MODEL)


def _built(model_repository: Path) -> list[ModelConfig]:
    configs = []
    for folder in sorted(path.parent for path in model_repository.glob("[!.]*/config.pbtxt")):
        try:
            config = readable_config(folder)
        except BrokenModelError:
            continue
        if config.backend == "onnxruntime" and not fault_of_model(folder / MODEL):
            configs.append(config)
    return configs


def _order(config: ModelConfig, graph: onnx.ModelProto) -> Order:
    profile = profile_of(config, list(config.message().dynamic_batching.preferred_batch_size))
    if is_quantized(graph):
        raise TranslationError(f"{config.name} is in eight bits as CPUs take them; TensorRT takes the model itself")
    try:
        return Order(config.name, config, profile, with_early_floats(graph))
    except onnx.checker.ValidationError as error:
        raise TranslationError(f"{config.name} cannot be prepared for TensorRT: {error}") from error


def build_plans(
    orders: Sequence[Order], trtexec: Trtexec, *, listener: Listener, paths: Paths, told: Callable[[str], None]
) -> list[PlanReport]:
    """Build the plans, compare each with its ONNX model, and link what has none.

    `told` hears about a model that TensorRT does not take; it stays what it is. Raises ExporterError if no plan was
    built, OSError.
    """
    target = paths.model_repository.with_name(REPOSITORY)
    reports = []
    with building(target) as change:
        for order in orders:
            try:
                with listener.watching(order.name), change.draft(target / order.name) as draft:
                    reports.append(_plan(order, trtexec, draft, listener, paths))
            except (TranslationError, ParityError) as error:
                told(f"{order.name} stays an ONNX model: {error}")
        _link_others(paths.model_repository, target)
        if not reports and not any(target.glob(f"[!.]*/{PLAN}")):
            shutil.rmtree(target)
    if not reports:
        raise ExporterError("TensorRT took none of the models")
    return reports


def _plan(order: Order, trtexec: Trtexec, draft: Path, listener: Listener, paths: Paths) -> PlanReport:
    """Raises TranslationError, ParityError."""
    source = order.config.folder / MODEL
    (draft / "1").mkdir()
    with TemporaryDirectory(prefix="maskwright-plan-") as folder:
        onnx.save(order.graph, Path(folder, "model.onnx"))
        builder = trtexec.build(Path(folder, "model.onnx"), draft / PLAN, order.profile)
    photos = sample_photos((order.profile.best[2], order.profile.best[1]), listener, paths)
    found = _compared(Session(source), trtexec, draft / PLAN, photos.images, order.profile.most[0])
    shapes = (order.profile.least, order.profile.best, order.profile.most)
    report = PlanReport(
        model=order.name,
        source_sha256=sha256(source),
        plan_sha256=sha256(draft / PLAN),
        **builder._asdict(),
        shapes=shapes,
        **dict(found),
    )
    if report.fault:
        raise ParityError(f"its plan differs from it: {report.fault}")
    (draft / REPORT).write_text(report.model_dump_json(indent=2), encoding="utf-8")
    (draft / "config.pbtxt").write_text(plan_config(order.config), encoding="utf-8")
    # Our steps see by it that the model is there.
    (draft / MODEL).symlink_to(os.path.relpath(source, paths.model_repository.with_name(REPOSITORY) / order.name / "1"))
    return report


def _compared(model: Session, trtexec: Trtexec, plan: Path, images: Images, most: int) -> Agreements:
    """Each image alone, then the first ones as a batch. Raises TranslationError."""
    batch = np.stack(images[: min(_BATCH, most)])
    alone = [trtexec.outputs(plan, image[np.newaxis]) for image in images]
    together = trtexec.outputs(plan, batch)
    answers = [*alone, *({name: value[[place]] for name, value in together.items()} for place in range(len(batch)))]
    given = iter(answers)
    return answers_compared(model, lambda _: next(given), [*images, *batch])


def plan_config(config: ModelConfig) -> str:
    """The model's configuration for its plan: the same tensors, batches and parameters, on GPUs."""
    message = config.message()
    message.platform, message.backend = "tensorrt_plan", "tensorrt"
    message.ClearField("optimization")
    for name in _OPTIONS:
        message.parameters.pop(name, None)
    for group in message.instance_group:
        group.kind = model_config_pb2.ModelInstanceGroup.KIND_GPU
    told = f"# {config.name} as a TensorRT plan, built by `maskwright models export --tensorrt`.\n"
    return told + text_format.MessageToString(message)


def _link_others(source: Path, target: Path) -> None:
    """Link every model without a plan, and remove links whose models are gone."""
    for link in target.glob("[!.]*"):
        if link.is_symlink():
            link.unlink()
    for folder in sorted(source.glob("[!.]*/")):
        if not (target / folder.name).exists():
            (target / folder.name).symlink_to(os.path.relpath(folder, target), target_is_directory=True)


def faulty_plans(paths: Paths) -> dict[str, str]:
    """By name, the plans that are damaged, or whose models are gone or are others now."""
    found = {}
    for file in sorted(paths.model_repository.with_name(REPOSITORY).glob(f"[!.]*/{REPORT}")):
        name = file.parent.parent.name
        if fault := _fault(file, paths.model(name)):
            found[f"{REPOSITORY}/{name}"] = f"{fault}; build it again with `maskwright models export --tensorrt {name}`"
    return found


def _fault(report: Path, source: Path) -> str:
    try:
        written = PlanReport.model_validate_json(report.read_bytes())
    except (OSError, ValidationError):
        return "its plan.json cannot be read"
    plan = report.with_name(PLAN.name)
    if not plan.is_file() or sha256(plan) != written.plan_sha256:
        return "its plan is missing or damaged"
    same = source.exists() and sha256(source) == written.source_sha256
    return "" if same else "stale: its model is another now"
