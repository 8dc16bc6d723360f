"""`maskwright run PIPELINE PHOTO…`."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.blur_options import (
    Audio,
    AudioTrack,
    BlurInclude,
    BlurLayout,
    Classes,
    Color,
    Feather,
    FilmOptions,
    Format,
    Grow,
    Hide,
    Keep,
    MaxFrames,
    MaxSeconds,
    Metadata,
    Quality,
    RedactionStyle,
    Rotations,
    Shape,
    SmallestFace,
    SmallestObject,
    Strength,
    Thresholds,
)
from gateway.cli.client import Gateway, GatewayAwayError, away, base_url
from gateway.cli.face_options import (
    Colors,
    EmbedImage,
    Face,
    FaceFrame,
    FaceInclude,
    Landmarks,
    RegionOpacity,
    Regions,
    SegmentationMap,
    ShowLabels,
    ShowLandmarks,
    StrokeWidth,
    flag,
)
from gateway.cli.folders import Finder, harmless, told
from gateway.cli.options import (
    Frame,
    Gender,
    Include,
    InFlight,
    MaskTypes,
    Person,
    PlainHttp,
    Recursive,
    Style,
    Url,
    file_text,
    given,
)
from gateway.cli.photos import PHOTO_SUFFIXES, VIDEO_SUFFIXES, Layout, Named, PhotoFile, plan
from gateway.cli.report import print_summary, progress, video_progress
from gateway.cli.sender import Outcome, Sender
from gateway.cli.terminal import complain

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Send photos to a pipeline and save its artifacts.")

Photos = Annotated[list[str], typer.Argument(help="Photos, folders of photos, or patterns.")]
PhotosAndVideos = Annotated[list[str], typer.Argument(help="Photos, videos, folders of them, or patterns.")]

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the artifacts: FOLDER/<photo>/<artifact>.")]
CopyOutput = Annotated[Path, typer.Option("--output", "-o", help="Folder for the copies; never that of the photos.")]


@app.callback()
def pipelines() -> None:
    """Send photos to a pipeline and save its artifacts."""


@app.command("body_masks")
def body_masks(  # noqa: PLR0913, PLR0917 one option for each parameter of the pipeline
    photos: Photos,
    output: Output,
    mask_types: MaskTypes = "",
    gender: Gender = "",
    style: Style = "",
    frame: Frame = "",
    person: Person = "",
    include: Include = "",
    recursive: Recursive = False,  # noqa: FBT002 typer makes a flag of it
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    in_flight: InFlight = 4,
) -> None:
    """One PNG for each mask type."""
    parameters = given(mask_types=mask_types, gender=gender, style=style, frame=frame, person=person, include=include)
    found = told(photos, Finder(recursive=recursive, results=output))
    _run(Sender(base_url(Gateway(url, plain_http)), "body_masks", parameters), found, output, in_flight)


@app.command("face_contours")
def face_contours(  # noqa: PLR0913, PLR0917 one option for each parameter of the pipeline
    photos: Photos,
    output: Output,
    landmarks: Landmarks = None,
    segmentation_map: SegmentationMap = None,
    face: Face = "",
    regions: Regions = "",
    frame: FaceFrame = "",
    show_labels: ShowLabels = False,  # noqa: FBT002 typer makes a flag of it
    show_landmarks: ShowLandmarks = False,  # noqa: FBT002 typer makes a flag of it
    region_opacity: RegionOpacity = "",
    stroke_width: StrokeWidth = "",
    colors: Colors = "",
    embed_image: EmbedImage = False,  # noqa: FBT002 typer makes a flag of it
    include: FaceInclude = "",
    recursive: Recursive = False,  # noqa: FBT002 typer makes a flag of it
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    in_flight: InFlight = 4,
) -> None:
    """An SVG of a face's regions, and their contours as JSON."""
    found = told(photos, Finder(recursive=recursive, results=output))
    if (landmarks or segmentation_map) and len(found) > 1:
        complain("--landmarks and --segmentation-map belong to one photo, and there are several.")
        raise typer.Exit(2)
    parameters = given(
        landmarks=file_text("--landmarks", landmarks) if landmarks else "",
        segmentation_map=file_text("--segmentation-map", segmentation_map) if segmentation_map else "",
        face=face, regions=regions,
        frame=frame, show_labels=flag(show_labels), show_landmarks=flag(show_landmarks), region_opacity=region_opacity,
        stroke_width=stroke_width, colors=colors, embed_image=flag(embed_image), include=include,
    )  # fmt: skip
    _run(Sender(base_url(Gateway(url, plain_http)), "face_contours", parameters), found, output, in_flight)


@app.command("privacy_blur")
def privacy_blur(  # noqa: PLR0913, PLR0917 one option for each parameter of the pipeline
    photos: PhotosAndVideos,
    output: CopyOutput,
    hide: Hide = "",
    style: RedactionStyle = "",
    strength: Strength = "",
    shape: Shape = "",
    grow: Grow = "",
    feather: Feather = "",
    color: Color = "",
    keep: Keep = "",
    thresholds: Thresholds = "",
    smallest_face: SmallestFace = "",
    smallest_object: SmallestObject = "",
    rotations: Rotations = "",
    format: Format = "",  # noqa: A002 the option's name
    quality: Quality = "",
    metadata: Metadata = "",
    include: BlurInclude = "",
    layout: BlurLayout = Layout.MIRROR,
    recursive: Recursive = False,  # noqa: FBT002 typer makes a flag of it
    audio: Audio = AudioTrack.KEEP,
    max_frames: MaxFrames = 500_000,
    max_seconds: MaxSeconds = 14_400,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    in_flight: InFlight = 4,
) -> None:
    """A copy in which faces, plates, people or vehicles are hidden; of videos too."""
    parameters = given(
        hide=hide, style=style, strength=strength, shape=shape, grow=grow, feather=feather, color=color, keep=keep,
        thresholds=thresholds, smallest_face=smallest_face, smallest_object=smallest_object, rotations=rotations,
        format=format, quality=quality, metadata=metadata, include=include,
    )  # fmt: skip
    films = FilmOptions(max_frames, max_seconds, audio is AudioTrack.KEEP)
    found = told(photos, Finder(PHOTO_SUFFIXES | VIDEO_SUFFIXES, recursive, output))
    _run(
        Sender(base_url(Gateway(url, plain_http)), "privacy_blur", parameters),
        found,
        output,
        in_flight,
        layout,
        films,
    )


@app.command("detect")
def detect(  # noqa: PLR0913, PLR0917 one option for each parameter of the pipeline
    photos: Photos,
    output: Output,
    classes: Classes = "",
    thresholds: Thresholds = "",
    smallest_face: SmallestFace = "",
    smallest_object: SmallestObject = "",
    rotations: Rotations = "",
    recursive: Recursive = False,  # noqa: FBT002 typer makes a flag of it
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    in_flight: InFlight = 4,
) -> None:
    """A list of the faces, plates and objects, as JSON."""
    parameters = given(
        classes=classes, thresholds=thresholds, smallest_face=smallest_face, smallest_object=smallest_object,
        rotations=rotations,
    )  # fmt: skip
    found = told(photos, Finder(recursive=recursive, results=output))
    _run(Sender(base_url(Gateway(url, plain_http)), "detect", parameters), found, output, in_flight)


def _run(  # noqa: PLR0913, PLR0917 what every pipeline has, and what of videos one has
    sender: Sender,
    found: Sequence[Named],
    output: Path,
    in_flight: int,
    layout: Layout = Layout.FOLDERS,
    films: FilmOptions | None = None,
) -> None:
    planned = harmless(plan(found, output, layout))
    videos = [one for one in planned if films and one.is_video]
    photos = [one for one in planned if not (films and one.is_video)]
    try:
        outcomes = [*_photos(sender, photos, in_flight), *_videos(sender, in_flight, films, videos)]
    except GatewayAwayError as error:
        away(sender.url)
        raise typer.Exit(1) from error
    print_summary(outcomes)
    if any(outcome.code for outcome in outcomes):
        raise typer.Exit(1)


def _photos(sender: Sender, photos: Sequence[PhotoFile], in_flight: int) -> list[Outcome]:
    if not photos:
        return []
    with progress(len(photos)) as advance:
        return asyncio.run(sender.send_all(photos, in_flight, advance))


def _videos(
    sender: Sender, in_flight: int, films: FilmOptions | None, videos: Sequence[PhotoFile]
) -> Iterator[Outcome]:
    if not (films and videos):
        return
    try:
        from gateway.cli.videos import VideoSender  # noqa: PLC0415 it needs the extra `video`, which few have
    except ModuleNotFoundError as error:
        complain(f"Videos need the package {error.name}: pip install 'maskwright[video]'")
        yield from (Outcome(video, code="package_missing") for video in videos)
        return
    video_sender = VideoSender(sender, in_flight, films)
    for video in videos:
        with video_progress(video.source.name) as advance:
            outcome = video_sender.send(video, advance)
        if outcome.detail:
            complain(": ".join(filter(None, (str(video.source), outcome.code, outcome.detail))))
        yield outcome
