"""An environment in which a person works with other programs: a robot's packages, conda, a profiler."""

from collections.abc import Mapping
from pathlib import Path

PACKAGES = ("cv2", "numpy", "onnxruntime", "pydantic", "typer", "rich", "tritonclient", "asyncpg")


def foreign_environment(folder: Path) -> Mapping[str, str]:
    """Variables that lead Python, the loader, shells and libraries astray; the files they name lie in `folder`."""
    packages = folder / "foreign"
    for name in PACKAGES:
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text(f"raise ImportError('the foreign {name}')\n")
    (packages / "sitecustomize.py").write_text("print('the foreign sitecustomize')\n")
    shell = folder / "shell.sh"
    shell.write_text("exit 9\n")
    return {
        "PYTHONPATH": str(packages), "PYTHONSTARTUP": str(shell), "PYTHONIOENCODING": "ascii",
        "PYTHONWARNINGS": "error",
        "PYTHONUSERBASE": str(folder), "PYTHONOPTIMIZE": "2", "PIP_USER": "1", "VIRTUAL_ENV": str(folder),
        "CONDA_PREFIX": str(folder), "LD_LIBRARY_PATH": str(packages), "BASH_ENV": str(shell), "ENV": str(shell),
        "BASH_FUNC_exec%%": "() { builtin exit 9; }", "OMP_NUM_THREADS": "0", "OPENBLAS_NUM_THREADS": "64",
        "OPENCV_IO_MAX_IMAGE_PIXELS": "1", "LC_ALL": "C", "LANG": "",
    }  # fmt: skip
