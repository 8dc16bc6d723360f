import pytest

from deploy.embedded.commands import next_steps
from gateway.pipelines.registry import PIPELINES
from gateway.settings import Settings


def test_next_steps_name_only_offered_pipelines() -> None:
    said = next_steps(Settings(pipelines="privacy_blur,detect", api_port=8123))
    assert "run privacy_blur PHOTO.jpg" in said
    assert "http://127.0.0.1:8123/v1/run/privacy_blur" in said
    assert "body_masks" not in said
    assert "face_contours" not in said
    assert "key" not in said


def test_next_steps_have_a_command_for_every_pipeline() -> None:
    said = next_steps(Settings())
    assert all(f"run {entry.name} PHOTO.jpg" in said for entry in PIPELINES)


@pytest.mark.parametrize("line", ["keys create", "export MASKWRIGHT_TOKEN", 'curl -H "Authorization: Bearer $'])
def test_next_steps_send_a_key_if_access_is_required(line: str) -> None:
    assert line in next_steps(Settings(access="required"))
