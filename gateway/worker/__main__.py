"""`python -m gateway.worker` is `maskwright worker`."""

import sys

from gateway.cli import app

app(["worker", *sys.argv[1:]], prog_name="maskwright")
