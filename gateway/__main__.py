"""`python -m gateway` is `maskwright`; without arguments it serves."""

import sys

from gateway.cli import app

app(sys.argv[1:] or ["serve"], prog_name="python -m gateway")
