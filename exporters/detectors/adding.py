"""Adding a detector of one's own to the model repository."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from exporters.catalogue import load
from exporters.detectors.added import AddedDetector, inspected
from exporters.detectors.card import DetectorCard, config_text
from exporters.detectors.choosing import use_detector
from exporters.digest import sha256
from exporters.errors import ExporterError, UnknownNameError
from exporters.export import build_model
from exporters.fetch import fetch_all
from exporters.listener import Listener
from exporters.paths import Paths
from exporters.report import ParityReport
from exporters.repository import building

ROLES = ("faces", "plates", "objects")
LABELS: Mapping[str, str] = MappingProxyType({"faces": "face", "plates": "license_plate"})
"""By role, the class by which the pipelines know what it finds."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


@dataclass(frozen=True)
class Addition:
    """What a user asks for; without `labels` those in the file's metadata, without `form` the one it looks like."""

    file: Path
    name: str
    role: str
    labels: Sequence[str] = ()
    form: str | None = None


def add_detector(addition: Addition, *, listener: Listener, paths: Paths) -> ParityReport:
    """Make a model of the file, hold it against the file on the sample photos, configure it and let it be used.

    A single class is given the label of the role, whatever it is called. Raises TranslationError, UnknownNameError,
    ParityError, and ExporterError where the name is taken or no class has the role's label; then nothing is left.
    """
    if addition.role not in ROLES:
        raise UnknownNameError([addition.role], list(ROLES))
    if not re.fullmatch(_NAME, addition.name):
        raise ExporterError(f"{addition.name!r} is no name for a model; letters, digits, '.', '_' and '-' make one")
    _require_free(addition.name, paths)
    given = {addition.file.name: sha256(addition.file)}
    detector = inspected(addition.file, addition.name, addition.labels, addition.form)
    detector = replace(detector, labels=_labels(addition.role, detector.labels))
    photos = [entry.name for entry in load(paths.catalogue).file if entry.kind == "photo"]
    images = fetch_all(photos, listener=listener, paths=paths)
    with building(paths.model_repository) as change:
        _require_free(addition.name, paths)
        with change.draft(paths.model_repository / addition.name) as draft:
            (draft / "1").mkdir()
            written = build_model(detector, [addition.file], images, draft / "1")
            if written.checkpoints != given:
                raise ExporterError(f"{addition.file} changed while it was read; add it again")
            (draft / "config.pbtxt").write_text(_config(addition, detector), encoding="utf-8")
    use_detector(addition.name, paths.model_repository)
    return written


def _require_free(name: str, paths: Paths) -> None:
    """Raise ExporterError where a model or a pipeline has the name."""
    folder = paths.model_repository / name
    if folder.exists() or folder.is_symlink():
        raise ExporterError(f"{folder} exists: choose another --name, or remove the folder first")
    if (paths.ensembles / name).exists():
        raise ExporterError(f"{name} is the name of a pipeline: choose another --name")


def _config(addition: Addition, detector: AddedDetector) -> str:
    card = DetectorCard(
        addition.role, detector.labels, detector.form.fit, (detector.width, detector.height), detector.form.iou
    )
    return config_text(addition.name, addition.file.name, card, batches=detector.batches)


def _labels(role: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels, of which one is the role's. Raises ExporterError."""
    label = LABELS.get(role)
    if label is None or label in labels:
        return labels
    if len(labels) == 1:
        return (label,)
    raise ExporterError(
        f"which of {', '.join(labels)} are {role}? call that class {label} with --labels, so that the pipelines know it"
    )
