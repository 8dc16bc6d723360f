"""`python -m gateway.worker` is `maskwright worker`."""

import typer

from gateway.worker.worker import main

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command("worker")(main)
app(prog_name="maskwright worker")
