import onnxruntime as ort
import pytest

from steps.onnx_session import NoTensorrtError, SessionOptions


@pytest.mark.parametrize(
    ("value", "arena"), [("0", False), ("False", False), ("off", False), ("1", True), ("ON", True)]
)
def test_the_arena_is_chosen_as_by_nvidias_backend(value: str, arena: bool) -> None:  # noqa: FBT001
    assert SessionOptions.from_parameters({"enable_mem_arena": value}, None).enable_mem_arena is arena


def test_another_value_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 0, 1, false, true, off or on"):
        SessionOptions.from_parameters({"enable_mem_arena": "no"}, None)


ASKED = {
    "precision_mode": "FP16",
    "max_workspace_size_bytes": "1024",
    "trt_engine_cache_enable": "1",
    "trt_engine_cache_path": "/engines",
}


def test_tensorrt_where_onnxruntime_has_none_is_refused() -> None:
    """onnxruntime itself would run on the CPU, and say nothing."""
    with pytest.raises(NoTensorrtError, match=r"has only .*CPUExecutionProvider.*TRITON_TENSORRT=off"):
        SessionOptions(device_id=0, tensorrt=ASKED).providers()


def test_tensorrt_gets_what_the_configuration_says_in_onnxruntimes_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["TensorrtExecutionProvider"])
    (name, options), *others = SessionOptions(device_id=1, tensorrt=ASKED).providers()
    assert name == "TensorrtExecutionProvider"
    assert options == {
        "device_id": 1,
        "trt_fp16_enable": "True",
        "trt_max_workspace_size": "1024",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": "/engines",
    }
    assert others == [("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]


def test_tensorrts_switches_are_false_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["TensorrtExecutionProvider"])
    (_, options), *_ = SessionOptions(device_id=0, tensorrt={"precision_mode": "FP32"}).providers()
    assert options == {"device_id": 0, "trt_fp16_enable": "False", "trt_engine_cache_enable": "False"}
