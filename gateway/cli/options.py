"""Options that several commands share."""

from collections.abc import Mapping
from typing import Annotated

import typer

Url = Annotated[str, typer.Option(help="The gateway; this machine's at PORT otherwise.", envvar="MASKWRIGHT_URL")]
InFlight = Annotated[int, typer.Option("--in-flight", "-j", min=1, max=64, help="Photos sent at the same time.")]
Json = Annotated[bool, typer.Option("--json", help="Print the gateway's JSON instead of a table.")]
MaskTypes = Annotated[str, typer.Option(help="Comma-separated; all seven otherwise.")]
Gender = Annotated[str, typer.Option(help="M or F; anything else takes the female radii.")]
Style = Annotated[str, typer.Option(help="garment or labels.")]
Frame = Annotated[str, typer.Option(help="source or canvas.")]
Person = Annotated[str, typer.Option(help="largest, all or single.")]
Include = Annotated[str, typer.Option(help="label_map, keypoints, overlay; comma-separated.")]


def given(**options: str) -> Mapping[str, str]:
    """The options that say something."""
    return {name: value for name, value in options.items() if value}
