from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.openapi import tiny_png
from gateway.jobs.job import UNCOUNTED, file_name, is_upload, upload_source
from gateway.jobs.objects import artifact_key, image_of, is_of_tenant, object_key, prefixes_of, with_original
from gateway.pipelines.outputs import Artifact
from tests.unit.gateway.worker.jobs import new_job

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.sampled_from(["original.jpg", "original.png", "blurred.jpg", "blurred.png", "blur.json", "detections.json"])
UPLOAD = new_job(source=upload_source("car.jpg"))
PHOTO = tiny_png()


def test_an_upload_has_keys_that_say_what_they_are() -> None:
    assert object_key(UPLOAD, "blurred.jpg") == f"processed/{UPLOAD.id}.jpg"
    assert object_key(UPLOAD, "blur.json") == f"processed/{UPLOAD.id}.blur.json"
    assert object_key(UPLOAD, "original.png") == f"original/{UPLOAD.id}_{UPLOAD.request_id}.png"
    assert object_key(replace(UPLOAD, tenant="acme"), "blurred.jpg") == f"!acme/processed/{UPLOAD.id}.jpg"


@given(NAMES, NAMES, st.sampled_from(["", "acme"]))
def test_keys_are_the_jobs_own_and_below_its_prefixes(one: str, other: str, tenant: str) -> None:
    request = replace(UPLOAD, tenant=tenant)
    key = object_key(request, one)
    assert (key == object_key(request, other)) == (one == other)
    assert any(key.startswith(prefix) for prefix in prefixes_of(request))
    assert is_of_tenant(key, tenant)
    assert len(key.encode()) <= 1024


@given(TEXTS, TEXTS, TEXTS, NAMES)
def test_no_other_job_has_an_uploads_key(user: str, request_id: str, name: str, uploaded: str) -> None:
    assert artifact_key(user, request_id, name) != object_key(UPLOAD, uploaded)


def test_other_jobs_keep_their_keys_and_not_their_photos() -> None:
    other = new_job("ann")
    assert object_key(other, "a.png") == artifact_key("ann", other.request_id, "a.png")
    assert with_original(other, PHOTO, [Artifact("a.png", b"a")]) == [Artifact("a.png", b"a")]


def test_an_upload_keeps_its_photo_unless_it_was_refused() -> None:
    made = Artifact("blurred.png", b"blurred")
    assert list(with_original(UPLOAD, PHOTO, [made])) == [Artifact("original.png", PHOTO), made]
    assert list(with_original(UPLOAD, PHOTO, [])) == []


@pytest.mark.parametrize("name", ["car.jpg", "a:b", "upload:upload:x", ""])
def test_the_source_holds_the_files_name(name: str) -> None:
    request = new_job(source=upload_source(name))
    assert is_upload(request)
    assert file_name(request) == name
    assert not is_upload(new_job(source=f"process:{name}"))


def test_no_files_name_keeps_a_job_out_of_the_figures() -> None:
    assert new_job(source=upload_source("car.jpg:loadtest")).counted
    assert not new_job(source=UNCOUNTED).counted


def test_a_missing_artifact_has_no_image() -> None:
    assert image_of([], "blurred") is None
