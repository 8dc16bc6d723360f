"""A repository of plans. A program of ours stands where trtexec stands: its plan is the ONNX model, which it runs."""

import sys
from pathlib import Path

import pytest

from exporters.catalogue import DEFAULT_PATHS, Paths, load
from exporters.downloads import Listener
from exporters.errors import ExporterError, UnknownNameError
from exporters.fetch import State, state
from exporters.tensorrt.plans import REPOSITORY, build_plans, faulty_plans, plan_orders
from exporters.tensorrt.trtexec import Trtexec

NAME = "centernet"
PHOTOS = [entry for entry in load(DEFAULT_PATHS.catalogue).file if entry.kind == "photo"]
pytestmark = pytest.mark.skipif(
    not DEFAULT_PATHS.model(NAME).exists()
    or any(state(entry, DEFAULT_PATHS.files) is not State.READY for entry in PHOTOS),
    reason="models are not exported",
)
STAND_IN = """#!{python}
import json, shutil, sys
import numpy, onnxruntime
options = dict(option.lstrip("-").partition("=")[::2] for option in sys.argv[1:])
if "onnx" in options:
    shutil.copy(options["onnx"], options["saveEngine"])
    sys.exit()
shape = [int(side) for side in options["shapes"].partition(":")[2].split("x")]
image = numpy.fromfile(options["loadInputs"].partition(":")[2], numpy.uint8).reshape(shape)
session = onnxruntime.InferenceSession(options["loadEngine"], providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
answers = zip(names, session.run(names, {{"image": image}}))
told = [
    {{"name": name, "dimensions": "x".join(map(str, value.shape)), "values": (value * {factor}).ravel().tolist()}}
    for name, value in answers
]
json.dump(told, open(options["exportOutput"], "w"))
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    repository = tmp_path / "model_repository"
    repository.mkdir()
    for name in (NAME, "detect_find"):
        (repository / name).symlink_to(DEFAULT_PATHS.model_repository / name)
    return Paths(model_repository=repository)


def stand_in(folder: Path, factor: float = 1.0) -> Trtexec:
    path = folder / "trtexec"
    path.write_text(STAND_IN.format(python=sys.executable, factor=factor))
    path.chmod(0o755)
    return Trtexec(path)


def test_a_plan_takes_the_place_of_its_model_and_the_rest_is_linked(paths: Paths, tmp_path: Path) -> None:
    said: list[str] = []
    orders = plan_orders([NAME], paths)
    (report,) = build_plans(orders, stand_in(tmp_path), listener=Listener(), paths=paths, told=said.append)
    target = paths.model_repository.with_name(REPOSITORY)
    assert said == []
    assert report.fault == ""
    assert {path.name for path in (target / NAME / "1").iterdir()} == {"model.plan", "model.onnx", "plan.json"}
    assert (target / NAME / "1" / "model.onnx").resolve() == DEFAULT_PATHS.model(NAME).resolve()
    assert (target / "detect_find" / "config.pbtxt").is_file()
    assert faulty_plans(paths) == {}
    plan = target / NAME / "1" / "model.plan"
    whole = plan.read_bytes()
    for damage in (plan.unlink, lambda: plan.write_bytes(b"else")):
        damage()
        assert "missing or damaged" in faulty_plans(paths)[f"{REPOSITORY}/{NAME}"]
    plan.write_bytes(whole)
    assert faulty_plans(paths) == {}
    (paths.model_repository / NAME).unlink()
    assert list(faulty_plans(paths)) == [f"{REPOSITORY}/{NAME}"]


def test_a_plan_that_answers_otherwise_is_left_out(paths: Paths, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ExporterError, match="TensorRT took none of the models"):
        build_plans(plan_orders([], paths), stand_in(tmp_path, 0.9), listener=Listener(), paths=paths, told=said.append)
    assert "stays an ONNX model: its plan differs from it" in said[0]
    assert not paths.model_repository.with_name(REPOSITORY).exists()


def test_an_unreadable_report_is_told(paths: Paths) -> None:
    report = paths.model_repository.with_name(REPOSITORY) / NAME / "1" / "plan.json"
    report.parent.mkdir(parents=True)
    report.write_text("{")
    assert "plan.json cannot be read" in faulty_plans(paths)[f"{REPOSITORY}/{NAME}"]


def test_an_unknown_model_is_named(paths: Paths) -> None:
    with pytest.raises(UnknownNameError, match="unknown name: nonsense; known names: centernet"):
        plan_orders(["nonsense"], paths)
