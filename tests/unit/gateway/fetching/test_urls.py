import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.fetching.guard import join_url, literal, parse_url, shown


def refusal(text: str) -> str:
    with pytest.raises(Problem) as caught:
        parse_url(text)
    assert caught.value.code == "url_not_allowed"
    return caught.value.detail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file:///etc/passwd", "only http"),
        ("/photo.jpg", "relative"),
        ("http:///photo.jpg", "no host"),
        ("http://user:secret@example.com/", "credentials"),
        ("http://example.com:0/", "port"),
        ("http://example.com:65536/", "port"),
        ("http://example.com/a b", "space"),
        ("http://example.com\\@127.0.0.1/", "backslash"),
        ("http://example.com/\n", "control"),
        ("http://127.1/", "four decimal numbers"),
        ("http://exam%70le.com/", "percent"),
        ("http://example..com/", "single dots"),
        ("http://example.com./", "none at the end"),
        ("http://[::1/", "Not a URL"),
        ("http://example.com/" + "a" * 9000, "9019 characters"),
        ("http://example.com/" + "€" * 1000, "9019 characters when percent-encoded"),
        ("http://example.com/?" + "💩" * 8000, "when percent-encoded"),
        ("http://xn--a/", "Punycode"),
        ("http://a.xn--0.example/", "Punycode"),
        ("http://XN--/", "none at the end"),
        ("http://xn--abc-/", "none at the end"),
        ("http://xn--99999999999/", "Punycode"),
        ("http://xn--a_b/", "Punycode"),
        ("http://example.com:+80/", "digits from 0 to 9"),
        ("http://example.com:8_0/", "digits from 0 to 9"),
        ("http://example.com:８０/", "digits from 0 to 9"),  # noqa: RUF001
        ("http://[2606:4700::1111]80/", "digits from 0 to 9"),
        ("http://example.com:-1/", "1 to 65535"),
        ("http://example.com:" + "0" * 5000 + "80/", "Not a URL"),
        ("http://[::1%25eth0]/", "zones"),
        ("http://[v1.a]/", "Not a URL"),
        ("http://" + "a" * 64 + ".example/", "letters"),
        ("http://" + "a." * 127 + "ab/", "letters"),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, said: str) -> None:
    assert said in refusal(text)


def test_credentials_and_queries_of_urls_are_not_shown() -> None:
    detail = refusal("http://user:hunter2@example.com/a?token=hunter2#hunter2")
    assert "example.com/a?…" in detail
    assert "hunter2" not in detail


def test_a_long_url_is_shortened_when_shown() -> None:
    assert len(shown(parse_url("https://example.com/" + "a" * 5000))) == 201


@pytest.mark.parametrize(
    "target",
    [
        "/a%20b/c%2Fd.jpg?X-Amz-Credential=K%2F20250101%2Feu%2Fs3%2Faws4_request&X-Amz-Signature=ab+c/d==",
        "/photo.jpg?a=1&a=2&b",
        "/%E2%82%AC?q=%26%3D",
    ],
)
def test_a_signed_url_is_requested_unchanged(target: str) -> None:
    assert parse_url(f"https://example.com{target}").raw_path.decode() == target


@pytest.mark.parametrize(
    "host", ["xn--ls8h.la", "a.xn--i-7iq.ws", "xn--bcher-kva.example", "xn--fx-3s9cx68e.jp", "xn--mgba3gch31f060k.com"]
)
def test_an_ascii_file_name_is_unchanged(host: str) -> None:
    """Emoji, as registries sell them, are no names to IDNA 2008, and to everybody else; Persian ones have joiners."""
    assert parse_url(f"https://{host}/").raw_host.decode() == host


def test_a_port_may_be_left_out_after_its_colon() -> None:
    assert parse_url("http://example.com:/").port is None


def test_names_of_other_alphabets_are_accepted_in_their_ascii_form() -> None:
    assert parse_url("https://bücher.example/").raw_host == b"xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("/b", "https://example.com/b"),
        ("b?c", "https://example.com/a/b?c"),
        ("//other.example/", "https://other.example/"),
        ("http://other.example/x", "http://other.example/x"),
    ],
)
def test_a_redirect_is_read_from_where_it_was_found(location: str, wanted: str) -> None:
    assert str(join_url(parse_url("https://example.com/a/x"), location)) == wanted


@pytest.mark.parametrize(
    "location",
    ["ftp://example.com/", "//user@example.com/", "http://a b/", "\\\\127.0.0.1/", "//1/", "//a:+80/", "//xn--a/"],
)
def test_a_redirect_is_checked_like_a_callers_url(location: str) -> None:
    with pytest.raises(Problem) as caught:
        join_url(parse_url("https://example.com/a"), location)
    assert caught.value.code == "url_not_allowed"


ODD = st.text(alphabet=st.sampled_from(list("htp:/.[]@%0127xfa\\ #?。0\u200b\ud800-_")) | st.characters(), max_size=30)


@given(st.one_of(ODD, ODD.map("http://{}".format), ODD.map("https://a.example{}".format)))
@example("http://[")
@example("http://xn--/")
@example("http://.")
def test_any_text_is_either_a_url_or_refused(text: str) -> None:
    try:
        url = parse_url(text)
    except Problem as problem:
        assert problem.code == "url_not_allowed"  # noqa: PT017 that there may be none is the point
    else:
        host = url.raw_host.decode("ascii")
        assert url.scheme in {"http", "https"}
        assert literal(url) or set(host) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert httpx.URL(str(url)) == url
