"""What is made before anything is asked: jobs of every kind, and what they have."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import httpx

PIPELINES = ("body_masks", "face_contours", "privacy_blur", "detect")
LINK = "/v1/artifacts/"
DOOMED = 8


@dataclass(frozen=True)
class Things:
    """Photos in base64, and by operation the path parameters of what is there."""

    photos: Sequence[str]
    there: Mapping[str, Sequence[Mapping[str, str]]]


def made(client: httpx.Client, photos: Sequence[bytes]) -> Things:
    """Jobs whose results are in the cache, so that no worker is needed, and some that are there to be deleted."""
    photo = photos[0]
    for pipeline in PIPELINES:
        _posted(client, f"/v1/run/{pipeline}", files={"image": photo})
    jobs = [_posted(client, "/v1/jobs", files={"image": photo}, data={"pipeline": name}) for name in PIPELINES]
    uploaded = _posted(client, "/upload", files={"file": ("a.jpg", photo)})["job_id"]
    batch = _posted(client, "/batch-upload", files=[("files", (f"{n}", each)) for n, each in enumerate(photos)])
    drawn = _posted(client, "/api/v1/frontal/crop/submit", files={"image": photo})["id"]
    doomed = [_posted(client, "/v1/jobs", files={"image": photo})["id"] for _ in range(DOOMED)]
    every = [*(job["id"] for job in jobs), uploaded, drawn]
    there = {
        **dict.fromkeys((f"{method} /v1/jobs/{{id}}{rest}" for method, rest in _OF_JOBS), _ids(every)),
        "GET /v1/jobs/{id}/artifacts/{name}": [
            {"id": job["id"], "name": name} for job in jobs for name in job["artifacts"]
        ],
        "GET /v1/artifacts/{key}": [{"key": key} for job in jobs for key in _keys(job)],
        "DELETE /v1/jobs/{id}": _ids(doomed),
        "GET /status/{id}": _ids([uploaded, *(each["job_id"] for each in batch["results"])]),
        "GET /batch/{id}": _ids([batch["batch_id"]]),
        "GET /api/v1/frontal/crop/status/{id}": _ids([drawn]),
    }
    return Things([base64.b64encode(photo).decode() for photo in photos], there)


_OF_JOBS = (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/callbacks/resend"))


def _posted(client: httpx.Client, path: str, **content: object):
    answer = client.post(path, **content)
    assert answer.is_success, answer.text
    return answer.json() if answer.headers["content-type"] == "application/json" else None


def _ids(ids: Sequence[str]) -> list[dict[str, str]]:
    return [{"id": each} for each in ids]


def _keys(job) -> list[str]:
    """Keys of files that are linked to in the gateway itself."""
    paths = (urlsplit(artifact["url"]).path for artifact in job["artifacts"].values())
    return [unquote(path.removeprefix(LINK)) for path in paths if path.startswith(LINK)]
