"""`make parity`: poses and faces against MediaPipe 0.10.21. Exit status 1 where a bar is missed.

Without a command both are compared, on the samples that are here.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.parity.faces import compare_faces, face_photos, faces_table
from tests.parity.poses import compare_poses, pose_photos, poses_table

app = typer.Typer(add_completion=False)
Photos = Annotated[list[Path] | None, typer.Argument(help="Photos of your own instead of the samples.")]

_console = Console()


@app.callback(invoke_without_command=True)
def both(context: typer.Context) -> None:
    """Compare what Maskwright finds with what MediaPipe's own package finds."""
    if context.invoked_subcommand is None:
        missed = [not _poses(pose_photos()), not _faces(face_photos())]
        _exit(passes=not any(missed))


@app.command()
def poses(photos: Photos = None) -> None:
    """Landmarks and mask of one person a photo."""
    _exit(passes=_poses(photos or pose_photos()))


@app.command()
def faces(photos: Photos = None) -> None:
    """Landmarks of every face, on the photos and on a cut-out of each face."""
    _exit(passes=_faces(photos or face_photos()))


def _poses(photos: list[Path]) -> bool:
    compared = compare_poses(photos)
    _console.print(poses_table(compared))
    return all(one.passes for one in compared)


def _faces(photos: list[Path]) -> bool:
    compared = compare_faces(photos)
    _console.print(faces_table(compared))
    return any(one.theirs for one in compared) and all(one.passes for one in compared)


def _exit(*, passes: bool) -> None:
    raise typer.Exit(0 if passes else 1)


if __name__ == "__main__":
    sys.exit(app())
