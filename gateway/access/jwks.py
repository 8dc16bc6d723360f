"""Public keys in a file."""

from collections.abc import Mapping
from pathlib import Path

from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

from gateway.logs import get_logger
from gateway.notation import read_json
from gateway.settings import SettingsError

_log = get_logger(__name__)


class JwksFile:
    """The RSA keys of a JSON Web Key Set (RFC 7517), read again when the file changes."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError where the file holds no such keys."""
        self._path = path
        try:
            self._changed_at = _changed_at(path)
            self._keys = _read(path)
        except (OSError, ValueError) as error:
            raise SettingsError(f"JWT_JWKS_FILE={path}: {error}") from error

    def find(self, key_id: object) -> PyJWK | None:
        """The key of this id; the only one where the token names none."""
        self._renew()
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    def _renew(self) -> None:
        """A file that cannot be read now may be being written: the keys stay as they are."""
        try:
            changed_at = _changed_at(self._path)
            if changed_at != self._changed_at:
                self._keys, self._changed_at = _read(self._path), changed_at
        except (OSError, ValueError) as error:
            _log.warning(f"JWT_JWKS_FILE={self._path}: {error}; the keys from before stay")


def _changed_at(path: Path) -> int:
    return path.stat().st_mtime_ns


def _read(path: Path) -> Mapping[str | None, PyJWK]:
    """The keys by id. Raises OSError, ValueError."""
    members = read_json(path.read_bytes())
    if not isinstance(members, dict):
        raise ValueError("not a JSON object with `keys`")  # noqa: TRY004 the file is wrong, not the program
    try:
        found = PyJWKSet.from_dict(members)
        keys = {key.key_id: key for key in found if _is_for_signatures(key)}
    except (PyJWTError, TypeError) as error:  # of members that are no text, too
        raise ValueError(str(error)) from error
    if not keys:
        raise ValueError("it holds no RSA key for signatures (RS256)")
    return keys


def _is_for_signatures(key: PyJWK) -> bool:
    return key.algorithm_name == "RS256" and key.public_key_use in {None, "sig"}
