import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.face.landmarks import MAX_CHARACTERS, parse_literal

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=9), children, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_json_and_python_are_read_alike(value: object) -> None:
    assert parse_literal(json.dumps(value)) == value
    assert parse_literal(repr(value)) == value


def test_tuples_are_lists() -> None:
    assert parse_literal("{'a': ((1, 2), (3, 4))}") == {"a": [[1, 2], [3, 4]]}


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[1 + 1]", "open('f')", "'a' 'b'", "{'a'}", "['a", '["a', "[" * 200_000, "['\\x']"),
        *("['" + "\\'" * 400_000, '["' + '\\"' * 400_000, " " * (MAX_CHARACTERS + 1)),
        *("[" + "[]," * 300_000 + "0]", "(" * 900_000, "''" * 400_000, "{" + "'':0," * 160_000 + "}"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_literal(text)
