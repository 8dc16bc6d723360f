"""The gateway in the foreground."""

import sys

import uvicorn

from gateway.app import create_app
from gateway.logs import configure_logs, get_logger
from gateway.protocol import BoundedProtocol
from gateway.settings import Settings, SettingsError

_GRACE_S = 30


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are then finished first."""
    configure_logs(settings)
    app = create_app(settings)
    get_logger("gateway.server").info(
        f"listening on http://{settings.api_host}:{settings.api_port}", triton=settings.triton_grpc_url
    )
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_S,
    )


def main() -> None:
    """Serve with the environment's settings; exit 2 where they are wrong."""
    try:
        serve(Settings.from_environment())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
