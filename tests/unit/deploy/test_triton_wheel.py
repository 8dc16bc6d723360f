from pathlib import Path

import pytest

from deploy.embedded import StackError
from deploy.embedded.triton_wheel import TritonWheel

pytest.importorskip("pytriton", reason="Triton's wheel has no stub for this Python")


@pytest.fixture
def wheel(tmp_path: Path) -> TritonWheel:
    made = TritonWheel(tmp_path)
    made.make()
    return made


def test_an_error_names_a_missing_libpython_and_its_package(wheel: TritonWheel) -> None:
    other = wheel.executable.parents[1] / "python_backend_stubs" / "3.8" / "triton_python_backend_stub"
    if any(Path("/usr/lib").rglob("libpython3.8.so.1.0")):
        pytest.skip("this machine has a libpython3.8")
    with pytest.raises(StackError, match=r"libpython3\.8\.so\.1\.0.*apt-get install libpython"):
        wheel.require_libpython(other)


def test_the_assembled_backends_have_all_their_files(wheel: TritonWheel) -> None:
    python = {path.name for path in (wheel.backends / "python").iterdir()}
    assert python == {"libtriton_python.so", "triton_python_backend_stub", "triton_python_backend_utils.py"}
    assert (wheel.backends / "onnxruntime" / "model.py").is_file()
    assert not [path for path in wheel.backends.rglob("*") if path.is_symlink()]


def test_removing_the_plain_folder_leaves_no_files(wheel: TritonWheel, tmp_path: Path) -> None:
    wheel.remove()
    assert list(tmp_path.iterdir()) == []
