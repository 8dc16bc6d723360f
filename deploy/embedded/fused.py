"""Fused layout: each ensemble as one model that runs all its steps in one process; the choice where there is no GPU."""

import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

from steps.model_config import ModelConfig


@dataclass(frozen=True)
class Fusing:
    """How many processes serve a fused model, and the onnxruntime threads of each."""

    instances: int
    threads: int


def write_fused(ensembles: Path, model_repository: Path, target: Path, fusing: Fusing) -> list[str]:
    """Write one model folder for each ensemble into `target`, the same name, inputs and outputs; return the names.

    Its version stands for the models inside: by it, results that others made are not taken from the cache.
    """
    shutil.rmtree(target, ignore_errors=True)
    names = []
    for folder in sorted(path.parent for path in ensembles.glob("*/config.pbtxt")):
        model = target / folder.name
        (model / str(_version(folder, model_repository))).mkdir(parents=True)
        config = ModelConfig(folder).fused(model_repository, fusing.instances, fusing.threads)
        (model / "config.pbtxt").write_text(config, encoding="utf-8")
        names.append(folder.name)
    return names


def _version(ensemble: Path, model_repository: Path) -> int:
    """A checksum of all that an ensemble is made of; Triton takes whole numbers from 1 on."""
    models = [model_repository / name for name, _, _ in ModelConfig(ensemble).steps]
    files = [folder / "config.pbtxt" for folder in (ensemble, *models)]
    files += [folder / "1" / "model.onnx" for folder in models]
    checksum = 0
    for file in files:
        checksum = zlib.crc32(file.read_bytes() if file.is_file() else b"", checksum)
    return max(1, checksum)
