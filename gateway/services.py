"""What the routes work with, made once at start."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request

from gateway.admission import Admission
from gateway.pipelines.pipeline import Pipeline
from gateway.readiness import Prober
from gateway.settings import Settings
from gateway.triton import Triton, connect


@dataclass(frozen=True)
class Services:
    """Everything a request may need."""

    settings: Settings
    registry: Mapping[str, Pipeline]
    triton: Triton
    admission: Admission
    prober: Prober


@asynccontextmanager
async def running_services(settings: Settings, registry: Mapping[str, Pipeline]) -> AsyncIterator[Services]:
    """The services for as long as the application runs."""
    async with connect(settings) as triton:
        admission = Admission(settings.queue_max_size, settings.service_concurrency)
        yield Services(settings, registry, triton, admission, Prober(triton, registry.values()))


def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    services = request.app.state.services
    if not isinstance(services, Services):
        raise TypeError("the application has not started")
    return services
