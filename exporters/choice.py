"""Which of several models for the same serves: `maskwright models use`."""

from pathlib import Path

from exporters.catalogue import Paths
from exporters.detectors.adding import use_detector
from exporters.errors import ExporterError, UnknownNameError
from exporters.export import ModelState
from exporters.forms.states import form_states
from exporters.networks.known import NETWORKS
from exporters.repository import building
from steps.model_folder import fault_of_model
from steps.networks import FORMS, IN_USE
from steps.object_detectors import MODEL, detector_models

WHEN_IT_SERVES = "the stack's Triton takes it up by itself; start one of your own again"


def use_model(name: str, paths: Paths) -> str:
    """Let a detector, a user's network or a form of one serve from the next start of Triton on. Returns what it does.

    Raises UnknownNameError if there is no such model, ExporterError if it is not built or stale, OSError.
    """
    repository = paths.model_repository
    if form_states(paths).get(name) is ModelState.STALE:
        raise ExporterError(f"{name} was made of a model that was replaced since; make it again: `models optimise`")
    networks = {form: network.model for network in NETWORKS for form in (network.model, *_forms(network.model))}
    if name not in networks:
        return _detector(name, sorted(form for form in networks if (repository / form).exists()), repository)
    if fault := fault_of_model(repository / name / MODEL):
        raise ExporterError(f"{name} is not built ({fault}); add its checkpoint, or optimise it, again")
    with building(repository):
        use_no_form(networks[name], repository)
        if name != networks[name]:
            (repository / name / IN_USE).touch()
    return f"{name} serves" if name == networks[name] else f"{name} serves instead of {networks[name]}"


def use_no_form(network: str, model_repository: Path) -> None:
    """Let a user's network serve itself. The caller holds the repository's lock."""
    for form in _forms(network):
        (model_repository / form / IN_USE).unlink(missing_ok=True)


def _forms(network: str) -> list[str]:
    return [f"{network}_{form}" for form in FORMS]


def _detector(name: str, networks: list[str], model_repository: Path) -> str:
    known = [model.detector.model for model in detector_models(model_repository)]
    if name not in known:
        raise UnknownNameError([name], sorted([*known, *networks]))
    return f"{name} looks for {use_detector(name, model_repository).role}"
