"""Classes of objects, and the groups of them that people ask for."""

from collections.abc import Collection, Iterable, Mapping

from steps.failure import InputError

FACE, PLATE, PERSON = "face", "license_plate", "person"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "faces": (FACE,),
    "plates": (PLATE,),
    "persons": (PERSON,),
    "vehicles": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
}
"""Labels by group; the vehicles are those of COCO's supercategory."""


def labels_of(names: Iterable[str], known: Collection[str]) -> frozenset[str]:
    """The known labels that groups and labels stand for.

    Raises InputError (class_unknown) where a name stands for none: what nobody looks for would stay in sight.
    """
    return frozenset(label for name in names for label in _labels(name, known))


def _labels(name: str, known: Collection[str]) -> list[str]:
    labels = [label for label in GROUPS.get(name, (name,)) if label in known]
    if not labels:
        raise InputError(
            "class_unknown", f"no model here finds {name[:60]!r}; groups: {', '.join(GROUPS)}; classes: {_list(known)}"
        )
    return labels


def _list(known: Collection[str]) -> str:
    return ", ".join(sorted(known))
