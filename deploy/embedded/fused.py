"""Fused layout: each ensemble as one model that runs all its steps in one process; the choice where there is no GPU."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from steps.model_config import ModelConfig


@dataclass(frozen=True)
class Fusing:
    """How many processes serve a fused model, and the onnxruntime threads of each."""

    instances: int
    threads: int


def write_fused(ensembles: Path, model_repository: Path, target: Path, fusing: Fusing) -> list[str]:
    """Write one model folder for each ensemble into `target`, the same name, inputs and outputs; return the names."""
    shutil.rmtree(target, ignore_errors=True)
    names = []
    for folder in sorted(path.parent for path in ensembles.glob("*/config.pbtxt")):
        model = target / folder.name
        (model / "1").mkdir(parents=True)
        config = ModelConfig(folder).fused(model_repository, fusing.instances, fusing.threads)
        (model / "config.pbtxt").write_text(config, encoding="utf-8")
        names.append(folder.name)
    return names
