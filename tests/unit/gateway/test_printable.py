"""What others wrote, on a terminal: no order, no second line, no password."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.terminal import Screen, cell, complain, print_json, say, table
from gateway.untrusted_text import MOST, json_text, printable, shown

ROOT = Path(__file__).parents[3]
ANY = st.text(st.characters(), max_size=60)
ORDERS = [
    "\x1b[2J", "\x1b]8;;https://evil.example\x1b\\x\x1b]8;;\x1b\\", "\x1b]52;c;cm0=\x07",
    "\x9b31m", "\x9d0;x\x9c", "\x90q",
    "\u202egnp.exe", "\u2066x\u2069", "\u200b", "\ufeff", "\u2028", "\x85", "a\nb", "a\rb", "\x00", "\x7f", "\udc1b",
    "\U000e0041",
]  # fmt: skip


@given(ANY)
def test_any_text_is_one_printable_line(text: str) -> None:
    line = shown(text)
    assert line.isprintable()
    line.encode()
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("text", ORDERS)
def test_control_characters_are_escaped(text: str) -> None:
    assert shown(f"<{text}>").isprintable()
    assert shown(f"<{text}>") != f"<{text}>"


def test_harmless_characters_stay_unchanged() -> None:
    assert shown("Foto é 写真 😀 [red]x[/].jpg") == "Foto é 写真 😀 [red]x[/].jpg"


@pytest.mark.parametrize("text", ["https://host/@scope/name", "http://host:8000/a@b", "//a/b c@d", "a@b.example"])
def test_text_without_a_login_is_shown_unchanged(text: str) -> None:
    assert shown(text) == text


def test_a_long_text_is_cut() -> None:
    assert len(shown("x" * 10**6)) == MOST + 1


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("http://user:s3cret@host:8000/x refused", "s3cret"),
        ("postgresql+asyncpg://masks:s3cret@[::1]/masks?x=1", "s3cret"),
        ("postgresql://masks:s3c/r3t@db/masks", "s3c"),
        ("postgresql://masks:s3c@r3t@db/masks", "r3t"),
        ("host=db user=masks password=s3cret dbname=masks", "s3cret"),
        ("password = 's3 \\' cret' x", "cret"),
        ("https://b.example/a.png?X-Amz-Expires=60&X-Amz-Signature=s3cret&x=1", "s3cret"),
        ("https://b.example/a.png?AWSAccessKeyId=s3cret&Signature=s3cret", "s3cret"),
        ("https://b.example/a?sv=2021&sig=s3cret%3D", "s3cret"),
        ("GET /v1/jobs/1/events?ticket=s3cret HTTP/1.1", "s3cret"),
        ("socks5://me:s3cret@proxy:1080", "s3cret"),
    ],
)
def test_no_password_or_signature_of_an_address_is_shown(text: str, secret: str) -> None:
    assert not secret or secret not in shown(text)
    assert text.split("//", maxsplit=1)[0].split("?", maxsplit=1)[0] in shown(text) or "assword" in text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | ANY,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3),
        max_leaves=5,
    )
)
def test_printed_json_has_the_same_value_and_gives_the_terminal_no_orders(value: object) -> None:
    text = json_text(value, indent=1)
    assert "".join(text.split("\n")).isprintable()
    assert json.loads(text) == value


@pytest.mark.parametrize("text", [*ORDERS, "[bold]x[/bold]", "[link=https://evil.example]x[/link]", ":smile:", "[/]"])
def test_foreign_text_gives_the_terminal_no_orders(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text)
    complain(text, f"again {text}")
    print_json({text: text})
    rows = table("a", "b", caption="c")
    rows.add_row(cell(text), cell(text, "red"))
    screen = Screen()
    screen.print(rows)
    screen.print(text)  # forgotten to be made printable
    screen.print(f"[bold]{text}", style="red")
    written = capsys.readouterr()
    assert all(letter.isprintable() or letter == "\n" for letter in written.out + written.err)
    assert len(written.err.splitlines()) == 2
    assert "\x1b" not in written.out


def test_a_terminal_gets_our_colours_and_no_foreign_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    screen.print(cell("\x1b]52;c;cm0=\x07", "red"), "\x1b[2J")
    written = capsys.readouterr().out
    assert written.count("\x1b") == 2, "red, and its end"
    assert "\\x1b]52;c;cm0=\\x07" in written


@pytest.mark.parametrize("folder", ["gateway/cli", "deploy/embedded", "deploy/demo", "deploy/machine", "exporters"])
def test_all_output_goes_through_the_function_that_makes_it_printable(folder: str) -> None:
    """`echo` and `print` are left for what a person asked for as it is: a key, an address for a shell, our own help."""
    own = {
        ("gateway/cli/keys_and_database.py", "text"), ("gateway/cli/main.py", "f'maskwright {__version__}'"),
        ("gateway/cli/main.py", "'\\n'.join(settings_table())"), ("gateway/cli/jobs.py", "json_text(now)"),
        ("deploy/embedded/commands.py", "f'export {name}={shlex.quote(value)}'"),
        ("deploy/embedded/stack.py", "error"), ("deploy/machine/environment.py", "text"),
    }  # fmt: skip
    for path in set((ROOT / folder).rglob("*.py")) - {ROOT / "gateway/cli/terminal.py"}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called, name = ast.unparse(node.func), str(path.relative_to(ROOT))
                assert called not in {
                    "Console",
                    "rich.print",
                    "sys.stdout.write",
                    "sys.stderr.write",
                    "Text.from_markup",
                }, name
                if called in {"typer.echo", "print", "click.echo", "typer.secho"}:
                    assert (name, ast.unparse(node.args[0])) in own
                if called == "TextColumn":
                    assert "markup=False" in ast.unparse(node), name
