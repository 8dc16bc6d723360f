"""NVIDIA GPUs of this machine."""

import os
import shutil
import subprocess

from deploy.embedded.errors import StackError
from gateway.settings import Settings

_TIMEOUT = 30.0


def driver_is_here() -> bool:
    """Whether NVIDIA's driver is here."""
    return shutil.which("nvidia-smi") is not None


def make_devices() -> None:
    """Let the driver make its devices: as another user than root, Triton cannot have them made when it needs them."""
    if os.geteuid() == 0 and (program := shutil.which("nvidia-modprobe")):
        subprocess.run([program, "-c", "0", "-u"], capture_output=True, timeout=_TIMEOUT, check=False)


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
