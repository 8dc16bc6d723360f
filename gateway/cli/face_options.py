"""Options of `face_contours`."""

from pathlib import Path
from typing import Annotated

import typer

Landmarks = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="File of 478, 468 or 68 points: JSON or `x,y` lines. Faces are found otherwise.",
    ),
]
SegmentationMap = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="PNG of labels, or JSON: lists of landmark indices by region name."),
]
Face = Annotated[str, typer.Option(help="largest, all or single.")]
Regions = Annotated[str, typer.Option(help="Names of regions, comma-separated.")]
FaceFrame = Annotated[str, typer.Option(help="crop or source.")]
ShowLabels = Annotated[bool, typer.Option("--show-labels", help="Write each region's number and name.")]
ShowLandmarks = Annotated[bool, typer.Option("--show-landmarks", help="Draw the landmarks.")]
RegionOpacity = Annotated[str, typer.Option(help="0 to 1; 0.65 otherwise.")]
StrokeWidth = Annotated[str, typer.Option(help="Width of outlines in pixels; none otherwise.")]
Colors = Annotated[str, typer.Option(help="nose=#D4A574,mouth=#B695C0 and so on.")]
EmbedImage = Annotated[bool, typer.Option("--embed-image", help="Put the photo into the SVG.")]
FaceInclude = Annotated[str, typer.Option(help="landmarks: the landmarks as a file of their own.")]


def flag(value: bool) -> str:  # noqa: FBT001 a flag of the command line
    """The form field of a flag; empty where it was not set."""
    return "true" if value else ""
