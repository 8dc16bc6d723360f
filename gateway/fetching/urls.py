"""What a URL must look like before anybody is asked for anything."""

import re
from collections.abc import Callable
from ipaddress import ip_address

import httpx

from gateway.errors import Problem
from gateway.fetching.addresses import IPAddress

_SCHEMES = frozenset({"http", "https"})
_LONGEST = 8192
_SHOWN = 200
_HIGHEST_PORT = 65_535
_LONGEST_NAME = 253
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PUNYCODE = "xn--"
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))
"""In names of Persian and Indic scripts (RFC 5892, A.1 and A.2)."""
_AUTHORITY = re.compile(r"(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//([^/?#]*)")
_PLAIN = re.compile(r"(\[[^\]]*\]|[^\[\]:]*)(:[0-9]{0,5})?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def parse_url(text: str) -> httpx.URL:
    """The URL of a text, its host in ASCII and lower case.

    Raises Problem `url_not_allowed` for all that is not plain http or https to a well-formed host without
    credentials; above all for what two readers could read differently.
    """
    return _read(text, httpx.URL)


def join_url(base: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads, its text held to the same rules as a caller's. Raises Problem `url_not_allowed`."""
    return _read(location, base.join)


def check_form(url: httpx.URL) -> None:
    """Raises Problem `url_not_allowed` for another scheme, credentials, an impossible port, or a malformed host."""
    if url.scheme not in _SCHEMES:
        raise _refused(f"{url.scheme[:_SHOWN] or 'A relative URL'} is not accepted; only http:// and https:// are.")
    if not url.raw_host:
        raise _refused("The URL names no host.")
    if url.userinfo:
        raise _refused(f"{shown(url)}: credentials in a URL are not accepted.")
    if url.port is not None and not 0 < url.port <= _HIGHEST_PORT:
        raise _refused(f"{shown(url)}: a port is a number from 1 to {_HIGHEST_PORT}.")
    _check_host(url)


def host_of(url: httpx.URL) -> str:
    """The host in ASCII, an IPv6 address without its brackets."""
    return url.raw_host.decode("ascii")


def literal(url: httpx.URL) -> IPAddress | None:
    """The address that stands in the URL itself; None for a name."""
    try:
        return ip_address(host_of(url))
    except ValueError:
        return None


def shown(url: httpx.URL) -> str:
    """A URL for messages and logs: without what may be secret in it, and not too long."""
    bare = str(url.copy_with(userinfo=b"", query=None, fragment=None)) + ("?…" if url.query else "")
    return bare if len(bare) <= _SHOWN else f"{bare[:_SHOWN]}…"


def _read(text: str, reader: Callable[[str], httpx.URL]) -> httpx.URL:
    if len(text) > _LONGEST:
        raise _refused(f"The URL has {len(text)} characters; at most {_LONGEST} are accepted.")
    if any(_is_odd(character) for character in text):
        raise _refused("The URL holds a space, a backslash or a control character; percent-encode it.")
    try:
        url = reader(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise _refused(f"Not a URL: {str(error)[:_SHOWN]}") from error
    if len(str(url)) > _LONGEST:
        raise _refused(f"The URL has {len(str(url))} characters when percent-encoded; at most {_LONGEST} are accepted.")
    check_form(url)
    _check_authority(text)
    return url


def _check_authority(text: str) -> None:
    """Httpx takes `:+80`, `:8_0`, digits of other alphabets, and a port that follows a bracket, for a port, too."""
    found = _AUTHORITY.match(text)
    if found and not _PLAIN.fullmatch(found[1]):
        raise _refused("A port is written as a colon and digits from 0 to 9, at the end of the host.")


def _check_host(url: httpx.URL) -> None:
    host = host_of(url)
    if "%" in host:
        raise _refused(f"{shown(url)}: percent signs and zones in a host are not accepted.")
    if literal(url):
        return
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1] or labels[-2]):
        raise _refused(f"{shown(url)}: an IPv4 address is written as four decimal numbers, such as 93.184.216.34.")
    if len(host) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(
            f"{shown(url)}: a host is made of letters, digits and hyphens, with single dots between, none at the end."
        )
    if not all(map(_is_readable, labels)):
        raise _refused(f"{shown(url)}: what follows {_PUNYCODE} is not the Punycode of any name.")


def _is_readable(label: str) -> bool:
    """Whether a label of other alphabets is one (RFC 3492, RFC 5890 §2.3.2.1); emoji are, as registries sell them."""
    if not label.startswith(_PUNYCODE):
        return True
    try:
        decoded = label.removeprefix(_PUNYCODE).encode().decode("punycode")
    except UnicodeError:
        return False
    return decoded.translate(_JOINERS).isprintable() and not decoded.isascii()


def _is_odd(character: str) -> bool:
    return character in " \\" or not character.isprintable()


def _refused(detail: str) -> Problem:
    return Problem("url_not_allowed", detail)
