"""`maskwright serve`."""

from typing import Annotated

import typer

from gateway.cli.shell import told
from gateway.server import serve as serve_forever
from gateway.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; API_HOST otherwise.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; API_PORT otherwise.", min=1, max=65535)] = None,
) -> None:
    """Run the gateway alone, in the foreground; Triton must run elsewhere (TRITON_GRPC_URL)."""
    given = {name: value for name, value in (("api_host", host), ("api_port", port)) if value is not None}
    with told():
        serve_forever(Settings.from_environment().model_copy(update=given))
