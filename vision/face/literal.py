"""Data written as JSON or as a Python literal."""

import ast
import json
import re
from typing import TypeAlias, cast

Literal: TypeAlias = "dict[str, Literal] | list[Literal] | str | int | float | bool | None"

MAX_CHARACTERS = 1_000_000
"""Thirty times the text of 478 landmarks; bounds the time that a hostile text costs."""
MAX_TOKENS = 150_000
"""Commas, brackets and quotation marks; 16 faces of 478 landmarks with x, y and z have 77,000. Each costs an object,
or, in a repr, a call."""

_TOKENS = ",[{(\"'"
_TOKEN = re.compile(
    r"""
    (?P<plain>'[^'"\\\x00-\x1f]*')
    | (?P<quoted>'(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*")
    | ['"][\s\S]*  # nothing closes it: taken whole, or every later quote would be tried to the end of the text
    | \b(?:None|True|False)\b
    | [()]
    """,
    re.VERBOSE,
)
_JSON = {"None": "null", "True": "true", "False": "false", "(": "[", ")": "]"}


def parse_literal(text: str) -> Literal:
    """Read JSON, or the repr of Python dicts, lists, tuples, strings and numbers.

    Of a repr, tokens are rewritten and the JSON parser reads the rest: no code is built or run. Raises ValueError.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters; at most {MAX_CHARACTERS} are accepted")
    tokens = sum(map(text.count, _TOKENS))
    if tokens > MAX_TOKENS:
        raise ValueError(f"it has {tokens} commas, brackets and quotation marks; at most {MAX_TOKENS} are accepted")
    try:
        return _parsed(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except SyntaxError:
        raise ValueError("a quoted string has a wrong escape") from None
    except ValueError:
        raise ValueError("a whole number has too many digits") from None


def _parsed(text: str) -> Literal:
    try:
        return cast("Literal", json.loads(text))
    except json.JSONDecodeError:
        return cast("Literal", json.loads(_TOKEN.sub(_as_json, text)))


def _as_json(token: "re.Match[str]") -> str:
    if token.lastgroup == "plain":
        return f'"{token[0][1:-1]}"'
    if token.lastgroup == "quoted":
        return json.dumps(ast.literal_eval(token[0]))
    return _JSON.get(token[0], token[0])
