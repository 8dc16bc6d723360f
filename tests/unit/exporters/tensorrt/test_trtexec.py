"""How we run NVIDIA's program. A shell script stands in its place: it shows what it is asked, and fails as told."""

from pathlib import Path

import numpy as np
import pytest

from exporters.errors import ExporterError, TranslationError
from exporters.tensorrt.graph import Profile
from exporters.tensorrt.trtexec import Trtexec, found_program

PROFILE = Profile((1, 32, 32, 3), (4, 480, 640, 3), (8, 480, 640, 3))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").touch()
    return tmp_path / "model.onnx"


def program(folder: Path, script: str, **limits: float) -> Trtexec:
    path = folder / "trtexec"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Trtexec(path, **limits)


def test_it_is_asked_for_the_profile_and_full_precision(tmp_path: Path, model: Path) -> None:
    asked = tmp_path / "asked"
    said = '"&&&& RUNNING TensorRT.trtexec [TensorRT v100500]" "[I] Selected Device: NVIDIA H200"'
    script = f'printf "%s\\n" {said}; echo "$@" >{asked}; touch {tmp_path}/model.plan'
    assert program(tmp_path, script).build(model, tmp_path / "model.plan", PROFILE) == ("100500", "NVIDIA H200")
    assert asked.read_text().split() == [
        f"--onnx={model}",
        f"--saveEngine={tmp_path}/model.plan",
        "--minShapes=image:1x32x32x3",
        "--optShapes=image:4x480x640x3",
        "--maxShapes=image:8x480x640x3",
        "--noTF32",
        "--skipInference",
    ]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo '[11/30] [E] [TRT] TopK: K is limited to 3840'; echo '&&&& FAILED'; exit 1", "K is limited to 3840"),
        ("echo gone wrong >&2; exit 3", r"exit code 3\): gone wrong"),
        ("exit 1", "it said nothing"),
        ("printf '\\377\\376 [E] broken text'; exit 1", "broken text"),
        ("exit 0", "left no plan"),
        ("exec sleep 60", "was ended after 0 s"),
    ],
)
def test_its_failures_are_told_in_its_own_words(tmp_path: Path, model: Path, script: str, told: str) -> None:
    with pytest.raises(TranslationError, match=told):
        program(tmp_path, script, building=0.3).build(model, tmp_path / "model.plan", PROFILE)


def test_outputs_are_read_from_its_file(tmp_path: Path) -> None:
    script = """for option; do case $option in
      --exportOutput=*) answer=${option#*=};; --loadInputs=image:*) given=${option#*:};; esac; done
    size=$(wc -c <$given)
    echo "[ { \\"name\\" : \\"maps\\", \\"dimensions\\" : \\"1x1x2\\", \\"values\\" : [ $size, 0.5 ] } ]" >$answer"""
    outputs = program(tmp_path, script).outputs(tmp_path / "model.plan", np.zeros((1, 4, 5, 3), np.uint8))
    np.testing.assert_array_equal(outputs["maps"], np.array([[[60, 0.5]]], np.float32))


@pytest.mark.parametrize(
    "answer", ["", "[", "[1]", '[{"name": "maps"}]', '[{"name": "m", "dimensions": "2", "values": [1]}]']
)
def test_an_unreadable_answer_is_told(tmp_path: Path, answer: str) -> None:
    script = f"""for option; do case $option in --exportOutput=*) echo '{answer}' >${{option#*=}};; esac; done"""
    with pytest.raises(TranslationError, match=r"no readable answer of model\.plan"):
        program(tmp_path, script).outputs(tmp_path / "model.plan", np.zeros((1, 4, 5, 3), np.uint8))


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExporterError, match=r"neither on the path nor in .*: run this in NVIDIA's Triton container"):
        found_program()
    program(tmp_path, "exit 0")
    with pytest.raises(ExporterError, match="needs an NVIDIA GPU, and this machine has no driver"):
        found_program()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert found_program() == tmp_path / "trtexec"
