"""Foreign text made fit for a line of a terminal: file names, servers' answers, the environment.

Whatever was written by others goes through `shown` before a person sees it.
"""

import json
import re

MOST = 4096
"""Letters of a text that are shown: a whole path has no more."""
_LOGIN = re.compile(r"(?<=//)([^/?#\s]*|[^/?#\s:]+:(?!\d{1,5}[/?#])\S*)@")
"""A password may have a slash that nobody escaped; a port is none."""
_SIGNED = re.compile(
    r"(?i)([?&;](?:x-(?:amz|goog|oss)-(?:signature|credential|security-token)|awsaccesskeyid|googleaccessid|signature|sig"
    r"|se|sp|policy|key-pair-id|access_token|api[-_]?key|key|token|ticket|password|secret)=)[^&#\s\"'<>]+"
)
"""What lets whoever reads an address do what its owner may: presigned links of S3 and its kin, tickets, keys."""
_PASSWORD = re.compile(r"(?i)(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)")
"""In libpq's way of writing where a database is."""


def printable(text: object) -> str:
    """The text on one line: what would break it, turn its direction or speak to a terminal is escaped."""
    line = str(text)
    return line if line.isprintable() else "".join(map(_escaped, line))


def shown(text: object) -> str:
    """The text as `printable` has it, without passwords and signatures of addresses in it, and cut where it is long."""
    line = str(text)
    cut = line if len(line) <= MOST else f"{line[:MOST]}…"
    return printable(_PASSWORD.sub(r"\1…", _SIGNED.sub(r"\1…", _LOGIN.sub("…@", cut))))


def json_text(value: object, indent: int | None = None) -> str:
    """The value as JSON in which no letter speaks to a terminal; read again, it is the same value."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()
