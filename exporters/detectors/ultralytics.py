"""Checkpoints of Ultralytics (YOLOv8, YOLO11, …). Their exporter is AGPL-3.0: it is no part of Maskwright.

Where the user has it, it runs as a program of its own. It unpickles the file, so what the file names is looked at
before.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.errors import ExporterError, WrongFileError
from exporters.weights.container import is_onnx, names_in

TAKEN = "`models add detector` takes an ONNX file, or a .pt of Ultralytics"
_SECONDS = 900
_TAIL_LINES = 5
_THEIRS = "ultralytics."
_YOLOV5 = ("models.yolo.", "models.common.")
"""Classes of the repository yolov5, which its own export.py knows."""
_NAMES = re.compile(
    r"ultralytics\.nn\.(modules(\.\w+)?|tasks)\.[A-Z]\w*"
    r"|ultralytics(\.yolo)?\.utils\.(loss\.\w+|tal\.[A-Z]\w*|IterableSimpleNamespace)"
    r"|torch\.nn\.modules\.\w+\.[A-Z]\w*|torch\.nn\.parameter\.Parameter"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|parameter)|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\.(\w+Storage|Size|device|Tensor|float16|float32|bfloat16)|torch\.storage\.\w+Storage"
    r"|collections\.(OrderedDict|defaultdict)|(builtins|__builtin__)\.(set|slice|dict|list)"
    r"|numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|ndarray|dtype)|_codecs\.encode"
    r"|pathlib\.(Posix|Windows)?Path|datetime\.\w+|copyreg\._reconstructor|builtins\.object"
)
"""What a checkpoint of theirs names: classes of layers, and what pickles tensors, arrays, paths and times."""


@contextmanager
def as_onnx(file: Path) -> Iterator[Path]:
    """The file if it is ONNX, else what Ultralytics' exporter makes of it. Raises WrongFileError, ExporterError."""
    if is_onnx(file):
        yield file
        return
    try:
        names = names_in(file)
    except WrongFileError as error:
        raise WrongFileError(f"{file} is {error}. {TAKEN}") from error
    _require_theirs(file, names)
    with TemporaryDirectory(prefix="maskwright-yolo-") as folder:
        yield _exported(file, Path(folder))


def _require_theirs(file: Path, names: set[str]) -> None:
    """Raise WrongFileError unless the file is a model of Ultralytics and names nothing but layers."""
    if any(name.startswith(_YOLOV5) for name in names):
        target = file.with_suffix(".onnx")
        raise WrongFileError(
            f"{file} is a checkpoint of the repository yolov5. Type there `python export.py --weights {file} --include "
            f"onnx`, and then here `maskwright models add detector {target} --role …`"
        )
    if not any(name.startswith(_THEIRS) for name in names):
        raise WrongFileError(f"{file} is a checkpoint of another network. {TAKEN}")
    foreign = sorted(name for name in names if not _NAMES.fullmatch(name))
    if foreign:
        told = ", ".join(foreign[:3])
        raise WrongFileError(
            f"{file} is a pickle that names {told}, which no checkpoint of Ultralytics needs; nothing was run. {TAKEN}"
        )


def _exported(file: Path, folder: Path) -> Path:
    """Their exporter writes beside the file, so it gets one in `folder`."""
    program = _program()
    target = file.with_suffix(".onnx")
    if program is None:
        raise ExporterError(
            f"{file} is a checkpoint of Ultralytics, whose exporter (AGPL-3.0) is not here. Where it is, type "
            f"`yolo export model={file} format=onnx`, and then here `maskwright models add detector {target} --role …`"
        )
    copied = folder / "model.pt"
    shutil.copyfile(file, copied)
    command = [program, "export", f"model={copied}", "format=onnx", "simplify=False"]
    said = _said(command, folder)
    written = copied.with_suffix(".onnx")
    if not written.is_file():
        raise ExporterError(f"Ultralytics' exporter made no ONNX file of {file}:\n{said}")
    return written


def _program() -> str | None:
    """The command `yolo` of this environment, else of the path."""
    beside = Path(sys.executable).with_name("yolo")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("yolo")


def _said(command: list[str], folder: Path) -> str:
    """The end of what the command prints. It may write into `folder`, and installs nothing."""
    variables = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(folder)}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not end within {_SECONDS} seconds"
    return "\n".join(done.stdout.strip().splitlines()[-_TAIL_LINES:])
