"""Options that several commands share, and those made from a pipeline's parameters."""

from collections.abc import Iterator, Mapping
from inspect import Parameter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from gateway.cli.photo_paths import COPY
from gateway.cli.safe_files import read_bounded
from gateway.intake.submissions import text_or_base64
from gateway.pipelines.registry import Pipeline
from gateway.untrusted_text import shown

InFlight = Annotated[int, typer.Option("--in-flight", "-j", min=1, max=64, help="Photos sent at the same time.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Look into the folders in folders too.")]
Json = Annotated[bool, typer.Option("--json", help="Print the gateway's JSON instead of a table.")]


def pipeline_options(pipeline: Pipeline) -> Iterator[Parameter]:
    """An option for each parameter: a flag, a file for an input beside the photo, or text."""
    schemas = pipeline.parameters.model_json_schema()["properties"]
    for name, field in pipeline.parameters.model_fields.items():
        text = escape(f"{field.description} {_values(schemas[name])}".rstrip())
        kind: object = str | None
        default, option = None, typer.Option(help=text)
        if name in pipeline.inputs:
            kind, option = Path | None, typer.Option(exists=True, dir_okay=False, help=text)
        elif field.annotation is bool:
            kind, default, option = bool, False, typer.Option(option_name(name), help=text)
        yield Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def makes_copies(pipeline: Pipeline) -> bool:
    """Whether a changed copy of the photo is among its artifacts."""
    return any(name.startswith(f"{COPY}.") for name in pipeline.artifacts)


def option_name(parameter: str) -> str:
    """The option of a pipeline's parameter."""
    return f"--{parameter.replace('_', '-')}"


def form_fields(options: Mapping[str, object]) -> Mapping[str, str]:
    """The form fields of the options that were given. Raises typer.BadParameter for a file that cannot be read."""
    return given(**{name: _field_text(name, value) for name, value in options.items()})


def given(**options: str) -> Mapping[str, str]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value}


def file_text(option: str, path: Path) -> str:
    """A file's text, or its bytes in base64 if they are not text. It may be a pipe.

    Raises typer.BadParameter, with the option's name, if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return text_or_base64(read_bounded(file, path))
    except OSError as error:
        raise typer.BadParameter(shown(f"{error.strerror}: {error.filename}"), param_hint=option) from error


def _field_text(name: str, value: object) -> str:
    if isinstance(value, Path):
        return file_text(option_name(name), value)
    if isinstance(value, bool):
        return "true" if value else ""
    return "" if value is None else str(value)


def _values(schema: Mapping[str, object]) -> str:
    """The values that a parameter accepts, if they can be listed, and its default."""
    match schema:
        case {"anyOf": [dict() as first, *_]}:
            kind = first
        case {"items": dict() as items}:
            kind = items
        case _:
            kind = dict(schema)
    values = ", ".join(kind.get("enum", ()))
    if "minimum" in kind and "maximum" in kind:
        values = f"{kind['minimum']:g} to {kind['maximum']:g}"
    default = schema.get("default")
    said = ",".join(default) if isinstance(default, list) else default
    usual = f"{said} otherwise" if said else ""
    return f"({'; '.join(filter(None, (values, usual)))})" if values or usual else ""
