"""`make parity`: poses and faces against MediaPipe, hidden faces against deface, objects against TensorFlow.js, and
hidden faces against those who look for them again.

Exit status 1 where a bar is missed.

Without a command all are compared, on the samples that are here.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.parity.faces import compare_faces, face_photos, faces_table
from tests.parity.hidden_faces import compare_hidden_faces, hidden_face_photos, hidden_faces_table
from tests.parity.objects import can_compare, compare_objects, object_photos, objects_table
from tests.parity.poses import compare_poses, pose_photos, poses_table
from tests.parity.privacy import check_privacy, privacy_photos, privacy_table

app = typer.Typer(add_completion=False)
Photos = Annotated[list[Path] | None, typer.Argument(help="Photos of your own instead of the samples.")]

_console = Console()


@app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    """Compare what Maskwright finds with what the packages that its models come from find."""
    if context.invoked_subcommand is None:
        kept = [_poses(pose_photos()), _faces(face_photos()), _hidden_faces(hidden_face_photos())]
        kept += [_privacy(privacy_photos())]
        kept += [_objects(object_photos())] if can_compare() else []
        _exit(passes=all(kept))


@app.command()
def poses(photos: Photos = None) -> None:
    """Landmarks and mask of one person a photo."""
    _exit(passes=_poses(photos or pose_photos()))


@app.command()
def faces(photos: Photos = None) -> None:
    """Landmarks of every face, on the photos and on a cut-out of each face."""
    _exit(passes=_faces(photos or face_photos()))


@app.command()
def hidden_faces(photos: Photos = None) -> None:
    """Boxes of every face that privacy_blur hides."""
    _exit(passes=_hidden_faces(photos or hidden_face_photos()))


@app.command()
def privacy(photos: Photos = None) -> None:
    """Whether hidden faces are found again, and marked ones were hidden."""
    _exit(passes=_privacy(photos or privacy_photos()))


@app.command()
def objects(photos: Photos = None) -> None:
    """The best boxes of COCO's classes; needs node and npm."""
    _exit(passes=_objects(photos or object_photos()))


def _poses(photos: list[Path]) -> bool:
    compared = compare_poses(photos)
    _console.print(poses_table(compared))
    return all(one.passes for one in compared)


def _faces(photos: list[Path]) -> bool:
    compared = compare_faces(photos)
    _console.print(faces_table(compared))
    return any(one.theirs for one in compared) and all(one.passes for one in compared)


def _hidden_faces(photos: list[Path]) -> bool:
    compared = compare_hidden_faces(photos)
    _console.print(hidden_faces_table(compared))
    return all(one.passes for one in compared)


def _privacy(photos: list[Path]) -> bool:
    checked = check_privacy(photos)
    _console.print(privacy_table(checked))
    return any(one.hidden for one in checked) and all(one.passes for one in checked)


def _objects(photos: list[Path]) -> bool:
    compared = compare_objects(photos)
    _console.print(objects_table(compared))
    return all(one.passes for one in compared)


def _exit(*, passes: bool) -> None:
    raise typer.Exit(0 if passes else 1)


if __name__ == "__main__":
    sys.exit(app())
