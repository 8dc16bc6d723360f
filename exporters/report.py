"""The parity report that lies beside an exported model."""

from collections.abc import Iterator, Mapping
from hashlib import sha256 as new_sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from exporters.digest import sha256
from exporters.parity import OutputParity

_DECIDING = ("emitter.py", "onnx_model.py", "parity.py", "recipes.py", "runners.py", "samples.py", "usage.py")


class ParityReport(BaseModel):
    """What the model was made of and by, and how near it came."""

    model_config = ConfigDict(frozen=True)

    model: str
    checkpoints: Mapping[str, str]
    """SHA-256 by file name."""
    model_sha256: str
    exporter: str
    inputs: tuple[str, ...]
    outputs: tuple[OutputParity, ...]


def read(path: Path) -> ParityReport | None:
    """The report at `path`, None where there is none or it cannot be read."""
    try:
        return ParityReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def exporter_fingerprint() -> str:
    """A hash of the code that decides what an export contains: a change of it makes exports stale."""
    package = Path(__file__).parent
    digest = new_sha256()
    for module in sorted({*(package / name for name in _DECIDING), *_modules(package)}):
        digest.update(sha256(module).encode())
    return digest.hexdigest()[:16]


def _modules(package: Path) -> Iterator[Path]:
    for folder in ("detectors", "tflite", "tfjs"):
        yield from (package / folder).rglob("*.py")
