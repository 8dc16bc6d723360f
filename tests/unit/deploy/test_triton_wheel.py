from pathlib import Path

import pytest

from deploy.embedded.errors import StackError
from deploy.embedded.triton_wheel import TritonWheel


def test_a_missing_libpython_is_named_with_the_package_that_has_it() -> None:
    wheel = TritonWheel()
    other = wheel.executable.parents[1] / "python_backend_stubs" / "3.8" / "triton_python_backend_stub"
    if any(Path("/usr/lib").rglob("libpython3.8.so.1.0")):
        pytest.skip("this machine has a libpython3.8")
    with pytest.raises(StackError, match=r"libpython3\.8\.so\.1\.0.*apt-get install libpython"):
        wheel.require_libpython(other)


def test_the_assembled_backends_are_whole(tmp_path: Path) -> None:
    TritonWheel().assemble_backends(tmp_path / "backends")
    python = {path.name for path in (tmp_path / "backends" / "python").iterdir()}
    assert python == {"libtriton_python.so", "triton_python_backend_stub", "triton_python_backend_utils.py"}
    assert (tmp_path / "backends" / "onnxruntime" / "model.py").is_file()
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
