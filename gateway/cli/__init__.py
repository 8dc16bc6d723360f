"""The console script `maskwright`."""

import sys
from pathlib import Path

from deploy.embedded.environment import use_own_packages

if Path(sys.argv[0]).name == "maskwright":
    use_own_packages()  # before one is imported

from gateway.cli.main import app

__all__ = ["app"]
