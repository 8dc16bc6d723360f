"""Where the catalogue, the fetched files and the built models are."""

from dataclasses import dataclass
from pathlib import Path

MODEL_FILE, PARITY_FILE = "model.onnx", "parity.json"
"""In the folder of a model's one version."""
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Paths:
    """The folders exporters read and write; by default those of this checkout."""

    catalogue: Path = _ROOT / "checkpoints" / "catalogue.toml"
    files: Path = _ROOT / "checkpoints" / "files"
    model_repository: Path = _ROOT / "model_repository"
    ensembles: Path = _ROOT / "ensembles"

    def model(self, name: str) -> Path:
        """The ONNX file of a model."""
        return self.model_repository / name / "1" / MODEL_FILE

    def parity(self, name: str) -> Path:
        """The parity report beside a model."""
        return self.model_repository / name / "1" / PARITY_FILE


DEFAULT_PATHS = Paths()
