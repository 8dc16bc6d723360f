"""`maskwright run PIPELINE PHOTO…`: a command for each pipeline of the registry."""

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.client import Gateway, GatewayAwayError, PlainHttp, Url, base_url, complain_of_no_gateway
from gateway.cli.options import InFlight, Recursive, form_fields, makes_copies, option_name, pipeline_options
from gateway.cli.photo_finder import Finder, find_or_exit, safe_or_exit
from gateway.cli.photo_paths import PHOTO_SUFFIXES, VIDEO_SUFFIXES, Layout, NamedPhoto, PhotoFile, plan
from gateway.cli.sender import Outcome, Sender, VideoOptions, print_summary, progress, video_progress
from gateway.cli.terminal import complain
from gateway.pipelines.registry import Pipeline, build_registry
from gateway.settings import Settings


class AudioTrack(StrEnum):
    """What to do with a video's sound."""

    DROP = "drop"
    KEEP = "keep"


Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the artifacts; never that of the photos.")]
CopyLayout = Annotated[
    Layout, typer.Option(help="mirror: FOLDER/a/1.jpg, as the photos lie; folders: FOLDER/a/1/<artifact>.")
]
Audio = Annotated[AudioTrack, typer.Option(help="Of videos: keep or drop their sound; a voice may name a person.")]
MaxFrames = Annotated[int, typer.Option(min=1, help="Videos of more frames are refused.")]
MaxSeconds = Annotated[float, typer.Option(min=0, help="Videos that last longer are refused.")]
_OF_COPIES = frozenset({"layout", "audio", "max_frames", "max_seconds"})
"""Options of pipelines that make copies of photos."""
_OF_ONE_PHOTO = frozenset({"objects"})
"""Parameters without an option, because their values fit only one photo, or only one frame of a video."""

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Send photos to a pipeline and save its artifacts.")


@app.callback()
def pipelines() -> None:
    """Send photos to a pipeline and save its artifacts."""


def _command(pipeline: Pipeline) -> Callable[..., None]:
    """The command of a pipeline. If the pipeline makes copies of photos, it also accepts videos."""
    copies = makes_copies(pipeline)
    suffixes = PHOTO_SUFFIXES | VIDEO_SUFFIXES if copies else PHOTO_SUFFIXES
    names = "Photos, videos, folders of them, or patterns." if copies else "Photos, folders of photos, or patterns."

    def run(  # noqa: PLR0913, PLR0917 one parameter for each option
        photos: Annotated[list[str], typer.Argument(help=names)],
        output: Output,
        layout: CopyLayout = Layout.MIRROR if copies else Layout.FOLDERS,
        recursive: Recursive = False,
        audio: Audio = AudioTrack.KEEP,
        max_frames: MaxFrames = 500_000,
        max_seconds: MaxSeconds = 14_400,
        url: Url = "",
        plain_http: PlainHttp = False,
        in_flight: InFlight = 4,
        **parameters: object,
    ) -> None:
        found = find_or_exit(photos, Finder(suffixes, recursive, output))
        _check_files(pipeline, parameters, found)
        fields = form_fields(parameters)
        sender = Sender(base_url(Gateway(url, plain_http)), pipeline.name, fields)
        videos = VideoOptions(max_frames, max_seconds, audio is AudioTrack.KEEP) if copies else None
        _run(sender, safe_or_exit(plan(found, output, layout)), in_flight, videos)

    *own, _ = inspect.signature(run).parameters.values()
    offered = (one for one in own if copies or one.name not in _OF_COPIES)
    asked = (one for one in pipeline_options(pipeline) if one.name not in _OF_ONE_PHOTO)
    run.__dict__["__signature__"] = inspect.Signature([*offered, *asked])
    return run


def _check_files(pipeline: Pipeline, parameters: Mapping[str, object], found: Sequence[NamedPhoto]) -> None:
    beside = [name for name in pipeline.inputs if name in parameters]
    if len(found) > 1 and any(parameters[name] for name in beside):
        complain(f"{' and '.join(map(option_name, beside))} belong to one photo, and there are several.")
        raise typer.Exit(2)


def _run(sender: Sender, planned: Sequence[PhotoFile], in_flight: int, options: VideoOptions | None) -> None:
    videos = [one for one in planned if options and one.is_video]
    photos = [one for one in planned if not (options and one.is_video)]
    try:
        outcomes = [*_photos(sender, photos, in_flight), *_videos(sender, in_flight, options, videos)]
    except GatewayAwayError as error:
        complain_of_no_gateway(sender.url)
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
    sender: Sender, in_flight: int, options: VideoOptions | None, videos: Sequence[PhotoFile]
) -> Iterator[Outcome]:
    if not (options and videos):
        return
    try:
        from gateway.cli.videos import VideoSender  # noqa: PLC0415 it needs the extra `video`, which few have
    except ModuleNotFoundError as error:
        complain(f"Videos need the package {error.name}: pip install 'maskwright[video]'")
        yield from (Outcome(video, code="package_missing") for video in videos)
        return
    video_sender = VideoSender(sender, in_flight, options)
    for video in videos:
        with video_progress(video.source.name) as advance:
            outcome = video_sender.send(video, advance)
        if outcome.detail:
            complain(": ".join(filter(None, (str(video.source), outcome.code, outcome.detail))))
        yield outcome


for entry in build_registry(Settings()).values():
    app.command(entry.name, help=entry.summary)(_command(entry))
