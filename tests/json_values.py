"""Any JSON, escaped lone surrogates included."""

from hypothesis import strategies as st

_TEXT = st.text() | st.sampled_from(("\ud800", "x\udfff"))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=8,
)
