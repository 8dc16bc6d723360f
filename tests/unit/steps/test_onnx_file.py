from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steps.model_folder import fault_of_model
from tests.unit.exporters.detectors import drawn

HERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return drawn.save(tmp_path_factory.mktemp("model") / "model.onnx", drawn.yolov8()).read_bytes()


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def test_a_complete_model_has_no_fault(tmp_path: Path, model: bytes) -> None:
    assert fault_of_model(written(tmp_path, model)) == ""


@HERE
@given(st.data())
def test_a_model_cut_at_any_byte_is_incomplete(tmp_path: Path, model: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(model) // 2))
    assert fault_of_model(written(tmp_path, model[:end])) in {"it is empty", "it is cut short", "it is no ONNX model"}


@HERE
@given(st.binary(max_size=300))
def test_any_bytes_are_complete_or_have_a_fault(tmp_path: Path, content: bytes) -> None:
    assert fault_of_model(written(tmp_path, content)).isprintable()


def test_a_path_that_is_not_a_file_has_a_fault(tmp_path: Path) -> None:
    assert fault_of_model(tmp_path) == "Is a directory"
    assert fault_of_model(tmp_path / "nothing") == "No such file or directory"
    assert fault_of_model(written(tmp_path, b"version https://git-lfs.github.com/spec/v1\n")) == "it is no ONNX model"
    assert fault_of_model(written(tmp_path, b"<!DOCTYPE html>")) != ""
