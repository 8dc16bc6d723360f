"""NVIDIA GPUs of this machine."""

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from deploy.embedded.errors import StackError
from gateway.settings import Settings

_TIMEOUT = 30.0
_GPUS = Path("/proc/driver/nvidia/gpus")
_MINOR = re.compile(r"Device Minor:\s*(\d+)")


def driver_is_here() -> bool:
    """Whether NVIDIA's driver is here."""
    return shutil.which("nvidia-smi") is not None


def make_devices() -> None:
    """Have the driver make its devices now: Triton cannot when it needs them, as it gets no more rights.

    CUDA runs nvidia-modprobe(1) for that, which is root's by its set-user-ID bit.
    """
    if program := shutil.which("nvidia-modprobe"):
        minors = (number for found in _GPUS.glob("*/information") for number in _MINOR.findall(found.read_text()))
        options = (option for minor in ("0", *minors) for option in ("-c", minor))
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run([program, *options, "-u"], capture_output=True, timeout=_TIMEOUT, check=False)


def visible_devices(settings: Settings) -> str:
    """CUDA_VISIBLE_DEVICES of the embedded Triton: none on request, else GPU_ID.

    A list that the environment already holds gives way only to a GPU_ID that was set.
    """
    if settings.schp_device == "cpu":
        return ""
    if "gpu_id" in settings.model_fields_set:
        return str(settings.gpu_id)
    return os.environ.get("CUDA_VISIBLE_DEVICES", str(settings.gpu_id))


def require_gpu(settings: Settings) -> None:
    """Raise StackError where the settings ask for a GPU that is not there."""
    if settings.schp_device != "cuda":
        return
    found = _count() if driver_is_here() else 0
    if settings.gpu_id >= found:
        there = f"{found} GPU(s)" if found else "no NVIDIA GPU"
        raise StackError(
            f"SCHP_DEVICE=cuda with GPU_ID={settings.gpu_id}, but this machine has {there}; choose another, or "
            "SCHP_DEVICE=auto"
        )


def _count() -> int:
    """`nvidia-smi -L` prints one line a GPU, and indented ones for its parts."""
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S607
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
