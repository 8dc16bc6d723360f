from hypothesis import given
from hypothesis import strategies as st

from gateway.postgres.rows import clean


@given(st.text(st.characters(exclude_categories=())))
def test_clean_text_fits_a_column(text: str) -> None:
    assert "\0" not in clean(text)
    assert clean(text).encode().decode() == clean(text)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_ordinary_text_stays(text: str) -> None:
    assert clean(text) == text
