"""The detectors of an ensemble that looks for objects: its first step draws their inputs, its last reads their rows."""

from collections.abc import Container, Mapping

from tritonclient.grpc import model_config_pb2

OBJECTS, PLATES = "objects", "plates"
ROLES = ("faces", OBJECTS, PLATES)


def set_detectors(config: model_config_pb2.ModelConfig, models: Mapping[str, str]) -> None:
    """Let these models, by role, look for objects in an ensemble; one that has no detectors stays as it is.

    A role that has no model is left out where another has one: the rest can still be found. A model for plates runs
    wherever one for objects is asked for.
    """
    steps = config.ensemble_scheduling.step
    own = {role: step.model_name for step in steps for role in ROLES if step.input_map.get("image") == _image(role)}
    chosen = {role: models[role] for role in ROLES if role in models and (role in own or _joins(role, own))} or own
    if not own:
        return
    first, last = steps[0], steps[-1]
    for role in ROLES:
        first.output_map.pop(_image(role), None)
        last.input_map.pop(_rows(role), None)
    first.output_map.update({_image(role): _image(role) for role in chosen})
    last.input_map.update({_rows(role): _rows(role) for role in chosen})
    del steps[:]
    steps.append(first)
    for role, model in chosen.items():
        inputs, outputs = {"image": _image(role)}, {"detections": _rows(role)}
        steps.add(model_name=model, model_version=-1, input_map=inputs, output_map=outputs)
    steps.append(last)


def _image(role: str) -> str:
    return f"{role}_image"


def _rows(role: str) -> str:
    return f"{role}_rows"


def _joins(role: str, own: Container[str]) -> bool:
    return role == PLATES and OBJECTS in own
