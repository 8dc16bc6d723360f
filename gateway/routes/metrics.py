"""`GET /metrics`, for Prometheus."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.metrics.instruments import MEDIA_TYPE
from gateway.services import services_of


async def metrics(request: Request) -> Response:
    """This gateway's metrics, in Prometheus's text format."""
    return Response(await services_of(request).metrics.text(), media_type=MEDIA_TYPE)
