"""`maskwright serve`."""

from typing import Annotated

import typer

from gateway.server import serve as serve_forever
from gateway.settings import Settings, SettingsError


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; API_HOST otherwise.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; API_PORT otherwise.", min=1, max=65535)] = None,
) -> None:
    """Run the gateway alone, in the foreground; Triton must run elsewhere (TRITON_GRPC_URL)."""
    given = {name: value for name, value in (("api_host", host), ("api_port", port)) if value is not None}
    try:
        serve_forever(Settings.from_environment().model_copy(update=given))
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
