"""Options of `privacy_blur` and `detect`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli.photos import Layout


class AudioTrack(StrEnum):
    """What becomes of a video's sound."""

    DROP = "drop"
    KEEP = "keep"


@dataclass(frozen=True)
class FilmOptions:
    """Which videos are taken, and whether their copies have sound."""

    max_frames: int
    max_seconds: float
    sound: bool


BlurLayout = Annotated[
    Layout, typer.Option(help="mirror: FOLDER/a/1.jpg, as the photos lie; folders: FOLDER/a/1/<artifact>.")
]
Hide = Annotated[str, typer.Option(help="faces, plates, persons, vehicles or any class; faces and plates otherwise.")]
Classes = Annotated[str, typer.Option(help="faces, plates, persons, vehicles or any class; everything otherwise.")]
RedactionStyle = Annotated[str, typer.Option(help="gaussian, pixelate or solid.")]
Strength = Annotated[str, typer.Option(help="0.5 to 4; 1 otherwise.")]
Shape = Annotated[str, typer.Option(help="ellipse, box or quadrilateral; by class otherwise.")]
Grow = Annotated[str, typer.Option(help="Share of the box added on each side; by class otherwise.")]
Feather = Annotated[str, typer.Option(help="Width of the soft rim as a share of the region; by class otherwise.")]
Color = Annotated[str, typer.Option(help="#RRGGBB of the solid style; black otherwise.")]
Keep = Annotated[str, typer.Option(help="Boxes that stay untouched: x1,y1,x2,y2 and so on, between semicolons.")]
Thresholds = Annotated[str, typer.Option(help="Least scores: face=0.3,vehicles=0.5 and so on.")]
SmallestFace = Annotated[str, typer.Option(help="Pixels of the photo from which on faces are found; 20 otherwise.")]
SmallestObject = Annotated[str, typer.Option(help="The same for plates and all else: the longer side; 64 otherwise.")]
Rotations = Annotated[str, typer.Option(help="Directions to look in: auto, none or all; auto otherwise.")]
Format = Annotated[str, typer.Option(help="jpeg, png or webp; the photo's own otherwise.")]
Quality = Annotated[str, typer.Option(help="1 to 100; the photo's own otherwise.")]
Metadata = Annotated[str, typer.Option(help="What the copy keeps: exif, icc; or none. icc otherwise.")]
BlurInclude = Annotated[str, typer.Option(help="blur, detections: as files beside the copy; comma-separated.")]
Audio = Annotated[AudioTrack, typer.Option(help="Of videos: keep or drop their sound; a voice may name a person.")]
MaxFrames = Annotated[int, typer.Option(min=1, help="Videos of more frames are refused.")]
MaxSeconds = Annotated[float, typer.Option(min=0, help="Videos that last longer are refused.")]
