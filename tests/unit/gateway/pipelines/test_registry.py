import sys
from pathlib import Path

import pytest

from gateway.pipelines.registry import PIPELINES, build_registry, parameters_json
from gateway.server import create_app
from gateway.settings import Settings, SettingsError

MODULE = """
from pydantic import Field

from gateway.pipelines.validation import Parameters
from gateway.pipelines.registry import Pipeline

class GreyParameters(Parameters):
    strength: float = Field(1.0, description="How grey.")

def entry(name, profile="lite"):
    return Pipeline(name, "A grey copy.", "grey", profile, ("image",), GreyParameters, {"grey.png": "the copy"})

GREY, DETECT, HEAVY = entry("grey"), entry("detect"), entry("heavy", "full")
"""
ENTRY_POINTS = """[maskwright.pipelines]
grey = grey_pipeline:GREY
detect = grey_pipeline:DETECT
heavy = grey_pipeline:HEAVY
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package on the import path that brings two pipelines."""
    (tmp_path / "grey_pipeline.py").write_text(MODULE)
    metadata = tmp_path / "grey_pipeline-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: grey-pipeline\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "grey_pipeline", raising=False)


@pytest.mark.usefixtures("installed")
def test_an_installed_package_adds_its_pipeline() -> None:
    registry = build_registry(Settings())
    assert list(registry) == [*(entry.name for entry in PIPELINES), "grey", "heavy"]
    assert registry["grey"].model_for(parameters_json(registry["grey"], {"strength": "2"})) == "grey"


@pytest.mark.usefixtures("installed")
def test_an_installed_package_replaces_none_of_our_pipelines() -> None:
    assert build_registry(Settings())["detect"].model == "detect_lite"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("chosen", [("body_masks",), ("grey",), ("body_masks", "grey")])
def test_those_that_pipelines_names_are_offered_and_no_others(chosen: tuple[str, ...]) -> None:
    assert tuple(build_registry(Settings(pipelines=chosen))) == chosen


@pytest.mark.usefixtures("installed")
def test_an_installed_pipeline_is_described_by_its_entry() -> None:
    operation = create_app(Settings(pipelines=("grey",))).openapi()["paths"]["/v1/run/grey"]["post"]
    content = operation["responses"]["200"]["content"]
    assert content.keys() == {"image/png", "application/json", "multipart/mixed"}
    assert list(content["application/json"]["example"]["artifacts"]) == ["grey.png"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["strength"]


@pytest.mark.usefixtures("installed")
def test_the_lite_profile_offers_no_pipeline_that_has_full_models_alone() -> None:
    assert "heavy" not in build_registry(Settings(profile="lite"))
    with pytest.raises(SettingsError, match="PROFILE=lite: no pipeline has such models"):
        build_registry(Settings(profile="lite", pipelines=("heavy",)))


@pytest.mark.parametrize(
    ("profile", "served", "models"),
    [
        ("auto", (), ("body_masks_lite", "face_contours_lite")),
        ("auto", ("body_masks_full", "face_contours_lite"), ("body_masks_full", "face_contours_lite")),
        ("lite", ("body_masks_full", "face_contours_full"), ("body_masks_lite", "face_contours_lite")),
        ("full", (), ("body_masks_full", "face_contours_full")),
    ],
)
def test_the_profile_chooses_among_the_models_that_triton_serves(
    profile: str, served: tuple[str, ...], models: tuple[str, str]
) -> None:
    registry = build_registry(Settings(profile=profile))
    entries = [registry[name] for name in ("body_masks", "face_contours")]
    assert tuple(entry.model_for(b"{}", served) for entry in entries) == models
    assert [entry.profile_of(model) for entry, model in zip(entries, models, strict=True)] == [
        model.rpartition("_")[2] for model in models
    ]


def test_landmarks_in_the_request_need_no_model_in_any_profile() -> None:
    face = build_registry(Settings(profile="full"))["face_contours"]
    assert face.model_for(b'{"landmarks": "1,2"}', ("face_contours_full",)) == "face_contours_given"
