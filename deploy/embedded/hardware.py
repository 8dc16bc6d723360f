"""What Triton finds on this machine: GPUs, and the shared memory in which it gets photos and returns answers.

Containers have 64 MB of shared memory by default. The limits of photos are lowered to fit into it.
"""

import contextlib
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.embedded import StackError
from deploy.embedded.rights import triton_of
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
REGION = 1024 * 1024
"""Bytes that each process takes at first. This grows to the largest photo and answer so far, and never shrinks."""
ANSWER_PER_PIXEL = 1.5
"""Bytes of a blurred copy as PNG. Measured: 141 MB for a grainy photo of 100 megapixels. Other answers are small."""
LEAST_SHARE = 1 / 8
"""Share of the default limits below which they are not lowered: 4 MiB and 12.5 megapixels."""
_LIMITS = ("max_body_bytes", "max_pixels")
_TIMEOUT = 30.0
_GPUS = Path("/proc/driver/nvidia/gpus")
_MINOR = re.compile(r"Device Minor:\s*(\d+)")


def region_prefix(settings: Settings) -> str:
    """Prefix of the names of Triton's regions."""
    return f"maskwright_{settings.triton_grpc_port}_"


def needed(settings: Settings) -> int:
    """Bytes that are enough when every process has had the largest photo."""
    return _needed(settings, _models(settings))


def _models(settings: Settings) -> int:
    return sum(len(pipeline.models) - bool(pipeline.full) for pipeline in build_registry(settings).values())


def _needed(settings: Settings, models: int) -> int:
    copy = max(settings.max_body_bytes, int(ANSWER_PER_PIXEL * settings.max_pixels))
    return settings.triton_instances * (models * (REGION + settings.max_body_bytes) + copy)


def fitted(settings: Settings, free: int) -> Settings:
    """The settings with as many processes, and photos as large, as fit into `free` bytes. Set limits are not changed.

    The number of processes is lowered before photos fall below an eighth of the default. Raises StackError if nothing
    fits.
    """
    models = _models(settings)
    if _needed(settings, models) <= free:
        return settings
    fixed = settings.model_fields_set
    fewest = settings.triton_instances if "triton_instances" in fixed else 1
    for instances in range(settings.triton_instances, fewest - 1, -1):
        fewer = settings.model_copy(update={"triton_instances": instances})
        at_start = instances * models * REGION
        share = 1.0 if fixed.intersection(_LIMITS) else (free - at_start) / (_needed(fewer, models) - at_start)
        if share >= LEAST_SHARE:
            smaller = {name: int(min(1.0, share) * getattr(settings, name)) for name in _LIMITS}
            found = fewer.model_copy(update=smaller)
            if _needed(found, models) <= free:
                return found
    raise StackError(_refusal(settings, free))


def is_used(settings: Settings) -> bool:
    """Whether the stack has a Triton of its own."""
    return settings.triton_grpc_url == f"127.0.0.1:{settings.triton_grpc_port}"


def fitted_to_machine(settings: Settings) -> Settings:
    """The settings that the stack can use on this machine. Raises StackError."""
    return fitted(settings, free_bytes(settings)) if is_used(settings) else settings


def free_bytes(settings: Settings) -> int:
    """Free bytes, including those of regions that a killed Triton left. Raises StackError."""
    try:
        there = os.statvfs(SHARED_MEMORY)
    except OSError as error:
        raise StackError(f"{SHARED_MEMORY}, shared memory, cannot be used: {error}; mount a tmpfs there") from error
    return there.f_bavail * there.f_frsize + sum(each.st_blocks * 512 for each in regions(settings).values())


def regions(settings: Settings) -> Mapping[Path, os.stat_result]:
    """The regions of Triton's user, which remain if it is killed. Files of others may have such names too."""
    ours = {os.geteuid(), triton_of(settings.maskwright_home.resolve()).uid}
    found = {}
    for path in SHARED_MEMORY.glob(f"{region_prefix(settings)}*"):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.lstat()
    return {path: each for path, each in found.items() if stat.S_ISREG(each.st_mode) and each.st_uid in ours}


def lowered(given: Settings, used: Settings) -> Mapping[str, str]:
    """The variables that differ, for the stack's own processes."""
    names = ("triton_instances", *_LIMITS)
    return {name.upper(): str(getattr(used, name)) for name in names if getattr(given, name) != getattr(used, name)}


def lowered_limits(settings: Settings) -> str:
    """A sentence for people if shared memory forces lower limits than the settings; else empty. Raises StackError."""
    limits = lowered(settings, fitted_to_machine(settings))
    said = ", ".join(f"{name}={value}" for name, value in limits.items())
    return f"{SHARED_MEMORY} is small, so the stack runs with {said}" if limits else ""


def _refusal(settings: Settings, free: int) -> str:
    return (
        f"{SHARED_MEMORY} has {free // 10**6} MB free; TRITON_INSTANCES={settings.triton_instances}, "
        f"MAX_BODY_BYTES={settings.max_body_bytes} and MAX_PIXELS={settings.max_pixels} need "
        f"{needed(settings) // 10**6} MB: lower them, or give more (docker run --shm-size=1g; in Kubernetes an "
        f"emptyDir of medium Memory at {SHARED_MEMORY})"
    )


def driver_is_here() -> bool:
    """Whether NVIDIA's driver is here."""
    return shutil.which("nvidia-smi") is not None


def make_devices() -> None:
    """Make the driver create its devices now. Triton cannot do it later, because it gets no additional rights.

    CUDA runs nvidia-modprobe(1) for this, which gets root's rights by its set-user-ID bit.
    """
    if program := shutil.which("nvidia-modprobe"):
        minors = (number for found in _GPUS.glob("*/information") for number in _MINOR.findall(found.read_text()))
        options = (option for minor in ("0", *minors) for option in ("-c", minor))
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run([program, *options, "-u"], capture_output=True, timeout=_TIMEOUT, check=False)


def visible_devices(settings: Settings) -> str:
    """CUDA_VISIBLE_DEVICES of the embedded Triton: none on request, else GPU_ID.

    A list in the environment is replaced only by a GPU_ID that was set.
    """
    if settings.schp_device == "cpu":
        return ""
    if "gpu_id" in settings.model_fields_set:
        return str(settings.gpu_id)
    return os.environ.get("CUDA_VISIBLE_DEVICES", str(settings.gpu_id))


def require_gpu(settings: Settings) -> None:
    """Raise StackError if the settings ask for a GPU that is not there, or that no network would use."""
    tensorrt = f"TRITON_TENSORRT={settings.triton_tensorrt}"
    uses_tensorrt = settings.triton_tensorrt != "off"
    if uses_tensorrt and settings.schp_device == "cpu":
        raise StackError(f"{tensorrt} needs a GPU, and SCHP_DEVICE=cpu hides it; choose TRITON_TENSORRT=off")
    if uses_tensorrt and settings.triton_layout == "fused":
        raise StackError(f"{tensorrt} needs TRITON_LAYOUT=ensemble or auto: a fused pipeline runs on the CPU")
    if settings.schp_device != "cuda" and not uses_tensorrt:
        return
    given, remedy = (tensorrt, "TRITON_TENSORRT=off") if uses_tensorrt else ("SCHP_DEVICE=cuda", "SCHP_DEVICE=auto")
    found = _count() if driver_is_here() else 0
    if settings.gpu_id >= found:
        there = f"{found} GPU(s)" if found else "no NVIDIA GPU"
        raise StackError(
            f"{given} with GPU_ID={settings.gpu_id}, but this machine has {there}; choose another, or {remedy}"
        )


def _count() -> int:
    """`nvidia-smi -L` prints one line per GPU, and indented ones for its parts."""
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S607
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
