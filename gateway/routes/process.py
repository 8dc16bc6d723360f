"""`POST /process`, as the HTTP mask service has it."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.access.callers import caller_of
from gateway.http.middleware import trace_id_of
from gateway.intake.bodies import check_length, read_body
from gateway.intake.requests import PROCESS_PHOTO, process_request
from gateway.intake.submissions import check_form, start_check
from gateway.limits.sharing import visit_of
from gateway.routes.acceptance import accept
from gateway.services import services_of


async def process(request: Request) -> JSONResponse:
    """Queue a photo for its two masks; the same job again changes nothing."""
    services, settings = services_of(request), services_of(request).settings
    kind = request.headers.get("content-type", "")
    check_form(kind)
    check_length(request, settings.max_body_bytes)
    wanted = await read_body(
        request,
        services,
        lambda body: process_request(body, kind, services.registry, settings),
        start_check(kind, (PROCESS_PHOTO,)),
    )
    with services.admission.place(visit_of(request)):
        await accept(services, caller_of(request), wanted, trace_id_of(request))
    queued = {"job_id": wanted.request_id, "message": "Job added to Qwen mask queue"}
    return JSONResponse({"status": "accepted", "queued": True, **queued})
