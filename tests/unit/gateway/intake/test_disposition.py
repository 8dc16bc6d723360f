from email.message import Message
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.multipart import parameter

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
EVERY_WAY = {
    "as browsers and curl send it": ('filename="naïve.jpg"', "naïve.jpg"),
    "browsers' escapes": ('filename="a%22b%22.jpg"', 'a"b".jpg'),
    "other per cents are the name's own": ('filename="100%25.jpg"', "100%25.jpg"),
    "a quoted string's escapes": (r'filename="a\"b\\c.jpg"', r'a"b\c.jpg'),
    "a backslash that escapes nothing": (r'filename="C:\new\a.jpg"', r"C:\new\a.jpg"),
    "a backslash at the end": ('filename="a\\"', "a\\"),
    "a backslash at the end of one of several": ('filename="a\\"; size="5"', "a\\"),
    "a semicolon": ('filename="a;filename=b.jpg"', "a;filename=b.jpg"),
    "no quotes": ("filename=a.jpg ; size=5", "a.jpg"),
    "capital letters and spaces": ('FileName = "a.jpg"', "a.jpg"),
    "urllib3 1": ("filename*=utf-8''na%C3%AFve.jpg", "naïve.jpg"),
    "both": ("filename=\"na_ve.jpg\"; filename*=UTF-8'en'na%C3%AFve.jpg", "naïve.jpg"),
    "both, the other way round": ("filename*=UTF-8''%E5%86%99.jpg; filename=x.jpg", "写.jpg"),
    "Latin 1": ("filename*=ISO-8859-1''na%EFve.jpg", "naïve.jpg"),
    "an extended value in quotes": ("filename*=\"UTF-8''na%C3%AFve.jpg\"", "naïve.jpg"),
    "a charset that nobody needs": ("filename*=UTF-7''%2BADw-; filename=x.jpg", "x.jpg"),
    "no charset": ("filename*=y.jpg; filename=x.jpg", "x.jpg"),
    "bytes that are none of the charset": ("filename*=UTF-8''%FF.jpg; filename=x.jpg", "x.jpg"),
    "pieces": ('filename*0="a long "; filename*1="name.jpg"', "a long name.jpg"),
    "pieces, encoded and not": ("filename*1=\"b.jpg\"; filename*0*=UTF-8''a%20", "a b.jpg"),
    "a character in two pieces": ("filename*0*=UTF-8''%C3; filename*1*=%AF.jpg", "ï.jpg"),
    "a piece is missing": ("filename*0=a; filename*2=c", "a"),
    "pieces without the first": ("filename*1=b; filename=x.jpg", "x.jpg"),
    "encoded words, as of .NET": ('filename="=?utf-8?B?bmHDr3ZlLmpwZw==?="', "naïve.jpg"),
    "a character in two words": ('filename="=?UTF-8?Q?na=C3?= =?UTF-8?Q?=AFve_1.jpg?="', "naïve 1.jpg"),
    "words that are none": ('filename="=?utf-8?B?*?="', "=?utf-8?B?*?="),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("written", "name"), EVERY_WAY.values(), ids=EVERY_WAY)
def test_every_way_to_write_a_file_name_is_read(written: str, name: str | None) -> None:
    assert parameter(f'form-data; name="f"; {written}'.encode(), "filename") == name
    assert parameter(f'form-data; name="f"; {written}'.encode(), "name") == "f"


@given(NAMES)
def test_a_percent_encoded_file_name_is_decoded(name: str) -> None:
    assert parameter(f"form-data; filename*=UTF-8''{quote(name, safe='')}".encode(), "filename") == name


@given(NAMES)
def test_a_file_name_escaped_by_a_browser_is_decoded(name: str) -> None:
    escaped = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    sent = f'form-data; name="f"; filename="{escaped}"'.encode()
    if "%22" not in name and "%0" not in name and "\\\\" not in name:
        assert parameter(sent, "filename") == name


@given(NAMES, st.integers(1, 30))
def test_a_file_name_split_as_in_rfc_2231_is_joined(name: str, length: int) -> None:
    content = name.encode()
    pieces = [quote(content[start : start + length], safe="") for start in range(0, len(content), length)][:64]
    head = "; ".join(f"filename*{number}*={piece}" for number, piece in enumerate(["UTF-8''" + pieces[0], *pieces[1:]]))
    if len(content) <= 64 * length:
        assert parameter(f"form-data; {head}".encode(), "filename") == name


@given(st.binary(max_size=400))
def test_any_sent_text_is_storable_or_left_out(header: bytes) -> None:
    for head in (header, b"form-data; filename" + header, b'form-data; filename="' + header):
        name = parameter(head, "filename")
        assert name is None or name.encode() is not None


def test_the_standard_librarys_mail_headers_are_read() -> None:
    message = Message()
    message.add_header("Content-Disposition", "form-data", name="f", filename=("utf-8", "", "naïve 写.jpg"))
    assert parameter(message["Content-Disposition"].encode(), "filename") == "naïve 写.jpg"
