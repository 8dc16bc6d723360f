import pytest

from deploy.embedded.next_steps import next_steps
from gateway.settings import Settings
from gateway.settings.settings import PIPELINES


def test_only_what_is_offered_is_said_to_run() -> None:
    said = next_steps(Settings(pipelines="privacy_blur,detect", api_port=8123))
    assert "run privacy_blur PHOTO.jpg" in said
    assert "http://127.0.0.1:8123/v1/run/privacy_blur" in said
    assert "body_masks" not in said
    assert "face_contours" not in said
    assert "key" not in said


def test_every_pipeline_has_a_line() -> None:
    said = next_steps(Settings())
    assert all(f"run {name} PHOTO.jpg" in said for name in PIPELINES)


@pytest.mark.parametrize("line", ["keys create", "export MASKWRIGHT_TOKEN", 'curl -H "Authorization: Bearer $'])
def test_where_callers_are_asked_the_lines_bring_a_key(line: str) -> None:
    assert line in next_steps(Settings(access="required"))
