import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.run import choose

OFFERS = ["image/png", "application/json", "multipart/mixed"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "image/png"),
        ("", "image/png"),
        ("*/*", "image/png"),
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("multipart/*", "multipart/mixed"),
        ("image/*;q=0.5, application/json;q=0.8", "application/json"),
        ("application/json;q=0, */*", "image/png"),
        ("image/png;q=0, */*;q=0.1", "application/json"),
        ("text/html, */*;q=0.1", "image/png"),
        ("image/png;q=0.2, image/*;q=0.9, application/json;q=0.5", "application/json"),
        ("text/html", None),
        ("image/png;q=0, application/json;q=0, multipart/mixed;q=0.0", None),
        ("nonsense", None),
        ("image/png;q=much, application/json", "application/json"),
        ("text/html, " * 63 + "application/json", "application/json"),
        ("text/html, " * 64 + "application/json", None),
    ],
)
def test_choice(accept: str | None, chosen: str | None) -> None:
    assert choose(accept, OFFERS) == chosen


@given(st.text(alphabet="imagepng/*;q=0.123, jsoaltc", max_size=60))
def test_any_accept_header_gives_an_offer_or_none(accept: str) -> None:
    assert choose(accept, OFFERS) in {None, *OFFERS}


@given(st.sampled_from(OFFERS), st.permutations(OFFERS))
def test_an_exact_name_wins_whatever_the_order(wanted: str, offers: list[str]) -> None:
    assert choose(wanted, offers) == wanted
