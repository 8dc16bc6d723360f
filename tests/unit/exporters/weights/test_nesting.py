import time

import pytest

from exporters.weights.nesting import weights_of

WEIGHTS = {"conv1.weight": 1.0, "fc.bias": 2.0}


@pytest.mark.parametrize(
    "root",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS, "epoch": 3},
        {"epoch": 3, "best": 0.5, "net": WEIGHTS},
        {"model": {"state_dict": WEIGHTS}},
        {"params": {"conv1.weight": 3.0, "fc.bias": 4.0}, "params_ema": WEIGHTS},
        {"ema": {"module": WEIGHTS}, "net": {"conv1.weight": 3.0, "fc.bias": 4.0}},
        {"model": WEIGHTS, "optimizer": {"state": {0: {"step": 1.0, "mean": 2.0, "square": 3.0}}}},
        {"state_dict": {"model.conv1.weight": 1.0, "model.fc.bias": 2.0}},
        {"module._orig_mod.net.conv1.weight": 1.0, "module._orig_mod.net.fc.bias": 2.0},
        {"model0.conv1.weight": 1.0, "model1_1.fc.bias": 2.0},
    ],
)
def test_weights_are_found_wherever_training_scripts_put_them(root: object) -> None:
    assert weights_of(root, float) == WEIGHTS


@pytest.mark.parametrize("root", [{}, {"epoch": 3}, [WEIGHTS], {"a": {"b": {"c": WEIGHTS}}}, None])
def test_a_file_without_weights_has_none(root: object) -> None:
    assert weights_of(root, float) is None


def test_dictionaries_within_themselves_end() -> None:
    root: dict[object, object] = {}
    root.update(dict.fromkeys(range(100_000), root))
    started = time.monotonic()
    assert weights_of(root, float) is None
    assert time.monotonic() - started < 2
