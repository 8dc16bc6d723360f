from pathlib import Path

import pytest

from deploy.embedded import StackError, hardware
from gateway.settings import Settings

TWO_GPUS = """#!/bin/sh
echo "GPU 0: NVIDIA H100 (UUID: GPU-1)"
echo "  MIG 1g.10gb Device 0: (UUID: MIG-1)"
echo "GPU 1: NVIDIA H100 (UUID: GPU-2)"
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs, as far as its driver's program tells."""
    program = tmp_path / "nvidia-smi"
    program.write_text(TWO_GPUS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.fixture
def _no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize("number", [0, 1])
def test_an_existing_gpu_is_accepted(number: int) -> None:
    hardware.require_gpu(Settings(schp_device="cuda", gpu_id=number))


@pytest.mark.usefixtures("driver")
def test_a_gpu_beyond_the_last_is_refused() -> None:
    with pytest.raises(StackError, match=r"GPU_ID=2, but this machine has 2 GPU"):
        hardware.require_gpu(Settings(schp_device="cuda", gpu_id=2))


@pytest.mark.usefixtures("_no_driver")
def test_cuda_without_a_gpu_is_refused_and_nothing_else_is() -> None:
    with pytest.raises(StackError, match=r"SCHP_DEVICE=cuda.*no NVIDIA GPU"):
        hardware.require_gpu(Settings(schp_device="cuda"))
    hardware.require_gpu(Settings(schp_device="auto"))
    hardware.require_gpu(Settings(schp_device="cpu"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "TRITON_TENSORRT=fp16 with GPU_ID=0, but this machine has no NVIDIA GPU; .*TRITON_TENSORRT=off"),
        ({"schp_device": "cpu"}, "SCHP_DEVICE=cpu hides it"),
        ({"triton_layout": "fused"}, "TRITON_LAYOUT=ensemble or auto"),
    ],
)
@pytest.mark.usefixtures("_no_driver")
def test_tensorrt_without_a_gpu_is_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(StackError, match=told):
        hardware.require_gpu(Settings(triton_tensorrt="fp16", **given))


@pytest.mark.usefixtures("driver")
def test_tensorrt_on_a_gpu_is_accepted() -> None:
    hardware.require_gpu(Settings(triton_tensorrt="fp16"))


def test_triton_sees_only_the_chosen_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert hardware.visible_devices(Settings()) == "0"
    assert hardware.visible_devices(Settings(gpu_id=3)) == "3"
    assert hardware.visible_devices(Settings(gpu_id=3, schp_device="cpu")) == ""


def test_only_the_setting_overrides_the_environments_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7")
    assert hardware.visible_devices(Settings()) == "GPU-7"
    assert hardware.visible_devices(Settings(gpu_id=0)) == "0"


def test_the_devices_of_every_gpu_are_made_whoever_starts_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minor in (0, 1):
        folder = tmp_path / "gpus" / f"0000:0{minor}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t NVIDIA H100\nDevice Minor: \t {minor}\n")
    program = tmp_path / "nvidia-modprobe"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setattr(hardware, "_GPUS", tmp_path / "gpus")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    hardware.make_devices()
    words = (tmp_path / "asked").read_text().split()
    assert sorted(zip(words[:-1:2], words[1::2], strict=True)) == [("-c", "0"), ("-c", "0"), ("-c", "1")]
    assert words[-1] == "-u"
