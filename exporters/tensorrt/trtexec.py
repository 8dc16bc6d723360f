"""NVIDIA's program `trtexec`, which Triton's container has: it builds plans, and runs them."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exporters.errors import ExporterError, TranslationError
from exporters.onnx_model import INPUT
from exporters.tensorrt.graph import Profile

PLACES = (Path("/usr/src/tensorrt/bin"), Path("/opt/tensorrt/bin"))
"""Where NVIDIA's images have it when it is not on the path."""
_BUILDING, _RUNNING = 3600.0, 300.0
"""Seconds after which it is ended."""
_VERSION = re.compile(r"TensorRT v(\d+)")
_DEVICE = re.compile(r"Selected Device: (.+)")
_ERROR = re.compile(r"\[E\]\s*(.+)")
_LONGEST = 600
"""Characters of its own words that a message repeats."""


def found_program() -> Path:
    """The program. Raises ExporterError with what is missing."""
    names = [shutil.which("trtexec"), *(shutil.which("trtexec", path=str(place)) for place in PLACES)]
    program = next((name for name in names if name), None)
    if program is None:
        raise ExporterError(
            "TensorRT's plans are built by trtexec on the GPU that will run them. It is neither on the path nor in "
            f"{' or '.join(map(str, PLACES))}: run this in NVIDIA's Triton container, or use the ONNX models"
        )
    if shutil.which("nvidia-smi") is None:
        raise ExporterError(f"{program} needs an NVIDIA GPU, and this machine has no driver; use the ONNX models")
    return Path(program)


class Builder(NamedTuple):
    """What built a plan, and what alone can run it: TensorRT's version and the GPU."""

    tensorrt: str
    gpu: str


@dataclass(frozen=True)
class Trtexec:
    """The program, and how long it may take. Raises TranslationError with its own words if it fails."""

    program: Path
    building: float = _BUILDING
    running: float = _RUNNING

    def build(self, model: Path, plan: Path, profile: Profile) -> "Builder":
        """Build a plan of an ONNX model."""
        shapes = {"min": profile.least, "opt": profile.best, "max": profile.most}
        options = [f"--{kind}Shapes={INPUT}:{_shape(shape)}" for kind, shape in shapes.items()]
        # TF32, which is on by default, has 10 bits: parity with the ONNX model needs 23.
        said = self._run(
            [f"--onnx={model}", f"--saveEngine={plan}", *options, "--noTF32", "--skipInference"], self.building
        )
        if not plan.is_file():
            raise TranslationError(f"{self.program} ended without an error and left no plan")
        return Builder(_said(_VERSION, said), _said(_DEVICE, said))

    def outputs(self, plan: Path, images: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        """Every output of a plan by name, for images N×H×W×3."""
        with TemporaryDirectory(prefix="maskwright-plan-") as folder:
            given, answer = Path(folder, "image.bin"), Path(folder, "answer.json")
            given.write_bytes(np.ascontiguousarray(images).tobytes())
            once = ["--warmUp=0", "--duration=0", "--iterations=1"]
            shapes = f"--shapes={INPUT}:{_shape(images.shape)}"
            inputs = [f"--loadInputs={INPUT}:{given}", f"--exportOutput={answer}"]
            self._run([f"--loadEngine={plan}", shapes, *inputs, *once], self.running)
            try:
                return {each["name"]: _array(each) for each in json.loads(answer.read_bytes())}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise TranslationError(f"{self.program} left no readable answer of {plan.name}: {error}") from error

    def _run(self, options: Sequence[str], seconds: float) -> str:
        try:
            ended = subprocess.run(
                [str(self.program), *options], capture_output=True, text=True, timeout=seconds, check=False,
                errors="replace",
            )  # fmt: skip
        except OSError as error:
            raise TranslationError(f"{self.program} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise TranslationError(f"{self.program} was ended after {seconds:.0f} s") from error
        said = ended.stdout + ended.stderr
        if ended.returncode:
            raise TranslationError(f"trtexec refuses it (exit code {ended.returncode}): {_reason(said)}")
        return said


def _said(pattern: re.Pattern[str], said: str) -> str:
    found = pattern.search(said)
    return found.group(1).strip() if found else "unknown"


def _reason(said: str) -> str:
    """Its errors, or the end of what it said."""
    errors = "; ".join(match.strip() for match in _ERROR.findall(said))
    return (errors or said.strip().rpartition("\n")[2] or "it said nothing")[:_LONGEST]


def _array(output: Mapping[str, object]) -> NDArray[np.float32]:
    sizes = [int(side) for side in str(output["dimensions"]).split("x")]
    return np.asarray(output["values"], np.float32).reshape(sizes)


def _shape(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))
