"""Addresses of servers as people write them: a host with a port, and a scheme that may say another setting too."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_SCHEME = re.compile(r"([A-Za-z][\w+.-]*):/{2,}")
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[\w.-]+)(?::([0-9]{1,6}))?")
_HIGHEST_PORT = 65_535
_NO_PORT = f"a port is a number from 1 to {_HIGHEST_PORT}"
_MISTAKES = (
    (re.compile("@"), "a login has no place in it"),
    (_SCHEME, "such a scheme has no place in it"),
    (re.compile(r"[/?#\\]"), "a path has no place in it"),
    (re.compile(r"[\s,;]"), "this is more than one address"),
    (re.compile(r"^[^\[]*:.*:"), "an IPv6 address stands in brackets, as in [fd00::1]:9000"),
    (re.compile(r"^:|^$|[^\w.:%\[\]-]"), "this names no host"),
)


@dataclass(frozen=True)
class _Schemes:
    """What may stand before a host, in small letters, and what each says of the setting `tells`; empty for nothing."""

    meaning: Mapping[str, str]
    tells: str = ""


_KNOWN: Mapping[str, _Schemes] = {
    "minio_endpoint": _Schemes({"http": "false", "https": "true"}, "minio_secure"),
    "kafka_bootstrap_servers": _Schemes(
        {
            **{name.lower(): name for name in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")},
            "kafka+ssl": "SSL",
            "kafka": "",
            "tcp": "",
        },
        "kafka_security_protocol",
    ),
    "triton_grpc_url": _Schemes(dict.fromkeys(("grpc", "http", "tcp", "dns"), "")),
    "db_host": _Schemes({"tcp": ""}),
}


def without_scheme(name: str, value: str) -> tuple[str, Mapping[str, str]]:
    """A setting's address without scheme and slash at its end, and what the scheme says of another setting.

    What is none of ours stays, for those who check the settings.
    """
    if name not in _KNOWN or value.startswith("/"):  # a socket's folder
        return value, {}
    schemes, parts = _KNOWN[name], [_parted(one) for one in value.split(",")]
    found = {scheme for scheme, _ in parts if scheme}
    if len(found) > 1 or not found <= schemes.meaning.keys():
        return value, {}
    told = schemes.meaning.get("".join(found))
    return ",".join(place for _, place in parts), {schemes.tells: told} if told else {}


def place_check(right: str, *, port_needed: bool = False, several: bool = False) -> Callable[[str], str]:
    """A validator of an address, or of several between commas: the text. `right` is an example for its ValueErrors."""

    def check(text: str) -> str:
        for place in text.split(",") if several else [text]:
            if place.strip() and (wrong := _wrong(place.strip(), port_needed=port_needed)):
                raise ValueError(f"{wrong}; {right} would be right")
        return text

    return check


def web_address(text: str) -> str:
    """A validator of a URL of HTTP. Raises ValueError."""
    if text and not re.match(r"https?://[^\s/]", text, re.IGNORECASE):
        raise ValueError("a URL such as https://assets.example.com would be right, with http:// or https:// before it")
    if re.search(r"\s", text):
        raise ValueError("a URL has no spaces in it")
    return text


def _parted(text: str) -> tuple[str, str]:
    """The scheme in small letters, or nothing, and what follows it."""
    text = text.strip()
    scheme = _SCHEME.match(text)
    return (scheme[1].lower(), text[scheme.end() :].rstrip("/")) if scheme else ("", text.rstrip("/"))


def _wrong(place: str, *, port_needed: bool) -> str:
    """What is wrong with an address; nothing where it is right. What may be a password is not repeated."""
    for sign, mistake in _MISTAKES:
        if sign.search(place):
            return mistake
    found = _PLACE.fullmatch(place)
    if found is None or not 0 < int(found[2] or 1) <= _HIGHEST_PORT:
        return _NO_PORT
    return "" if found[2] or not port_needed else "this names no port"
