"""`GET /metrics`, for Prometheus."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.metrics.page import MEDIA_TYPE
from gateway.services import services_of


async def metrics(request: Request) -> Response:
    """Everybody's figures, in Prometheus's text format."""
    return Response(await services_of(request).figures.text(), media_type=MEDIA_TYPE)
