"""Options that several commands share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.files import read_bounded
from gateway.intake.submissions import text_or_base64
from gateway.text import shown

Url = Annotated[
    str,
    typer.Option(
        help="The gateway; this machine's at PORT otherwise. Its key comes from MASKWRIGHT_TOKEN.",
        envvar="MASKWRIGHT_URL",
    ),
]
PlainHttp = Annotated[
    bool,
    typer.Option("--plain-http", help="Let the key go to another machine unencrypted.", envvar="MASKWRIGHT_PLAIN_HTTP"),
]
InFlight = Annotated[int, typer.Option("--in-flight", "-j", min=1, max=64, help="Photos sent at the same time.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Look into the folders in folders too.")]
Json = Annotated[bool, typer.Option("--json", help="Print the gateway's JSON instead of a table.")]
MaskTypes = Annotated[str, typer.Option(help="Comma-separated; all seven otherwise.")]
Gender = Annotated[str, typer.Option(help="M or F; anything else takes the female radii.")]
Style = Annotated[str, typer.Option(help="garment or labels.")]
Frame = Annotated[str, typer.Option(help="source or canvas.")]
Person = Annotated[str, typer.Option(help="largest, all or single.")]
Fields = Annotated[
    list[str] | None,
    typer.Option("--field", "-F", help="Any other field of the pipeline: NAME=VALUE, or NAME=@FILE. Repeat it."),
]
Include = Annotated[str, typer.Option(help="label_map, keypoints, overlay; comma-separated.")]


def fields_of(pairs: list[str] | None) -> Mapping[str, str]:
    """The fields named by --field. Raises typer.BadParameter for what is none, or no file."""
    return dict(map(_field, pairs or []))


def file_text(option: str, path: Path) -> str:
    """A file's text, or its bytes in base64 where it holds none; a pipe that is named is read.

    Raises typer.BadParameter, which names the option, for what cannot be read.
    """
    try:
        with path.open("rb") as file:
            return text_or_base64(read_bounded(file, path))
    except OSError as error:
        raise typer.BadParameter(shown(f"{error.strerror}: {error.filename}"), param_hint=option) from error


def _field(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{pair!r}: write NAME=VALUE or NAME=@FILE", param_hint="--field")
    return name, file_text(f"--field {shown(name)}", Path(value[1:])) if value.startswith("@") else value


def given(**options: str) -> Mapping[str, str]:
    """The options that say something."""
    return {name: value for name, value in options.items() if value}
