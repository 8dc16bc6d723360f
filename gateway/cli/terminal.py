"""What the command line writes. Foreign text is made harmless before it reaches a terminal."""

import sys
from collections.abc import Iterable

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text
from typing_extensions import override

from gateway.untrusted_text import json_text, printable, shown

_PIPED_COLUMNS = 240


class Screen(Console):
    """A console on which no text is markup, and no foreign text controls the terminal.

    Names must still go through `cell` or `shown`: this class keeps their line ends, and does not hide passwords.
    """

    def __init__(self, *, stderr: bool = False, style: str | None = None, width: int | None = None) -> None:
        super().__init__(stderr=stderr, style=style, width=width, markup=False, emoji=False, highlight=False)

    @override
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments, the text of each made printable."""
        return map(_harmless, super().render(renderable, options))


def screen() -> Screen:
    """Standard output; wide where no terminal bounds it, so that a pipe gets whole rows."""
    return Screen(width=None if sys.stdout.isatty() else _PIPED_COLUMNS)


def cell(text: object, style: str = "") -> Text:
    """Foreign text in a table or a line, no markup."""
    return Text(shown(text), style)


def table(*titles: str, whole: Iterable[str] = (), caption: str | None = None) -> Table:
    """A table whose long cells are folded; those under the titles `whole`, which come first, are not."""
    unbroken = (Column(title, no_wrap=True) for title in whole)
    return Table(*unbroken, *(Column(title, overflow="fold") for title in titles), caption=caption)


def say(text: object) -> None:
    """Write a line to standard output."""
    typer.echo(shown(text))


def complain(*lines: object) -> None:
    """Write lines to standard error; a line end within one of them is escaped, as names may contain line ends."""
    for line in lines:
        typer.echo(shown(line), err=True)


def print_json(value: object) -> None:
    """JSON on standard output, as it came."""
    typer.echo(json_text(value, indent=2))


def escape_unknown_letters() -> None:
    """Let output escape letters that the locale does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


def _harmless(segment: Segment) -> Segment:
    text, style, control = segment
    if control or text.isprintable() or text == "\n":
        return segment
    return Segment("\n".join(map(printable, text.split("\n"))), style)
