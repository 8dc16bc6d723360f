"""Every step by the name of the model that runs it, and an ensemble of them that runs inside one process.

It has the same config.pbtxt and steps as Triton's, without copies between them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

from steps.body_masks import body_masks_draw, pose_crop, pose_input
from steps.body_parsing import body_parse
from steps.detect import detect_find, detect_list
from steps.face_contours import face_contours_draw, face_crop, face_input
from steps.face_parsing import face_parse
from steps.graph_signature import require_fit
from steps.model_folder import ModelConfig
from steps.networks import Networks
from steps.object_detectors import FINDER, chosen_detectors
from steps.onnx_session import OnnxSession, SessionOptions, load_graph
from steps.privacy_blur import privacy_blur_draw
from steps.run_models import BISENET, BODY_PARSE, FACE_PARSE, BodyNetworks, face_networks
from steps.tensors import Step, Tensor, Tensors, has_failed

ENTRY_POINTS = "maskwright.steps"
"""The group of entry points at which installed packages name their steps, each by its Triton model."""


def steps_of(model_repository: Path, networks: Networks) -> Mapping[str, Step]:
    """Every step, also those of installed packages, which replace none of ours.

    Those that run models of the repository themselves run them on these networks.
    """
    return {
        **{point.name: point.load() for point in entry_points(group=ENTRY_POINTS)},
        "pose_input": pose_input,
        "pose_crop": pose_crop,
        BODY_PARSE: body_parse(BodyNetworks.of(model_repository), networks),
        "body_masks_draw": body_masks_draw,
        "face_input": face_input,
        "face_crop": face_crop,
        FACE_PARSE: face_parse(next(iter(face_networks(model_repository)), BISENET), networks),
        "face_contours_draw": face_contours_draw,
        FINDER: detect_find(chosen_detectors(model_repository), networks),
        "detect_list": detect_list,
        "privacy_blur_draw": privacy_blur_draw,
    }


@dataclass(frozen=True)
class Stage:
    """One step of an ensemble, and the ensemble's names of its inputs and outputs."""

    name: str
    step: Step
    input_map: Mapping[str, str]
    output_map: Mapping[str, str]

    def run(self, tensors: dict[str, Tensor]) -> None:
        """Run the step on those of the ensemble's tensors that exist, and add its outputs to them."""
        results = self.step({name: tensors[source] for name, source in self.input_map.items() if source in tensors})
        tensors.update({target: results[name] for name, target in self.output_map.items() if name in results})

    def failed(self, tensors: Tensors) -> bool:
        """Whether it handed on a failure."""
        context = self.output_map.get("context")
        return context is not None and has_failed(tensors[context])


class Ensemble:
    """A callable pipeline. Stages run in the order of the config; Triton does not need it, but this class does."""

    def __init__(
        self,
        folder: Path,
        model_repository: Path,
        steps: Mapping[str, Step],
        options: SessionOptions,
        load: Callable[[Path, SessionOptions], OnnxSession] | None = None,
    ) -> None:
        """`load` is `load_fitting`, or one that loads a model once for several ensembles."""
        config = ModelConfig(folder)
        self._outputs = config.output_names
        self.stages = [
            Stage(name, _step(model_repository / name, steps, options, load or load_fitting), inputs, outputs)
            for name, inputs, outputs in config.linked_steps(model_repository)
        ]

    def __call__(self, tensors: Tensors) -> Tensors:
        """The ensemble's outputs by name. Raises what a step raises.

        After a failure no model is run, and outputs of models are missing, because no step would read them. So a file
        that is not a photo costs nothing.
        """
        known = dict(tensors)
        failed = False
        for stage in self.stages:
            if not (failed and isinstance(stage.step, OnnxSession)):
                stage.run(known)
                failed = failed or stage.failed(known)
        return {name: known[name] for name in self._outputs if name in known}


def load_fitting(folder: Path, options: SessionOptions) -> OnnxSession:
    """The model in a folder of the repository. Whether it keeps memory between runs its own configuration says.

    Raises UnfitConfigError if the configuration does not fit the graph.
    """
    config = ModelConfig(folder)
    own = SessionOptions.from_parameters(config.parameters, device_id=None)
    session = load_graph(folder, replace(options, enable_mem_arena=own.enable_mem_arena))
    require_fit(config.name, config.signature, config.max_batch_size, session.signature)
    return session


def _step(
    folder: Path,
    steps: Mapping[str, Step],
    options: SessionOptions,
    load: Callable[[Path, SessionOptions], OnnxSession],
) -> Step:
    config = ModelConfig(folder)
    return load(folder, options) if config.backend == "onnxruntime" else steps[config.name]
