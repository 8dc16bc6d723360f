"""The settings of a command, and where each comes from: this shell, the running stack, a file, or the default.

`maskwright up` gets its variables once, in one shell. It writes them to a file, so that commands in other shells use
the same servers. The file counts while its launcher runs, and is removed when that ends.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import SecretStr, TypeAdapter, ValidationError

from gateway.settings.environment import Given, file_settings, read_environment, variable_names
from gateway.settings.fields import printable, shown
from gateway.settings.settings import Settings

_WRITABLE_BY_OTHERS = 0o022
_SERVERS: Mapping[str, tuple[str, ...]] = {
    "postgres_dsn": ("postgres_", "db_"),
    "db_host": ("postgres_", "db_"),
    "minio_endpoint": ("minio_", "s3_"),
    "kafka_bootstrap_servers": ("kafka_",),
}
"""Settings that name a server, and prefixes of the settings about it. If this shell names another server, none of the
stack's settings about it counts."""
_OF_SERVERS = ("postgres_dsn", "minio_endpoint", "minio_access_key", "minio_secret_key", "kafka_bootstrap_servers")
_PASSWORD_IN_QUERY = re.compile(r"(password=)[^&\s]*", re.IGNORECASE)


class KeptError(Exception):
    """The stack's file is there but must not be trusted; the message says why."""


@dataclass(frozen=True)
class KeptSettings:
    """What a stack was started with: its launcher's process, the variables given, and the addresses of its servers."""

    pid: int
    given: Mapping[str, str]
    running: Mapping[str, str]

    def write(self, home: Path) -> None:
        """Replace the file in one step, readable for its owner alone. Raises OSError, KeptError."""
        path = kept_file(home)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _require_ours(path.parent, path.parent.lstat(), stat.S_IFDIR)
        draft = path.with_suffix(f".{os.getpid()}.part")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    @classmethod
    def read(cls, home: Path) -> "KeptSettings | None":
        """What the stack that runs in this folder was started with; None where none runs. Raises KeptError."""
        path = kept_file(home)
        try:
            _require_ours(path.parent, path.parent.lstat(), stat.S_IFDIR)
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise KeptError(f"{path} cannot be read: {error.strerror}") from error
        try:
            _require_ours(path, os.fstat(descriptor), stat.S_IFREG)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                kept = TypeAdapter(cls).validate_json(file.read())
        except ValidationError as error:
            raise KeptError(f"{path} is not what this version of `maskwright up` writes") from error
        finally:
            os.close(descriptor)
        return kept if is_launcher(kept.pid, home) else None

    @staticmethod
    def remove(home: Path) -> None:
        """Remove the file, as its launcher ends."""
        kept_file(home).unlink(missing_ok=True)


def kept_file(home: Path) -> Path:
    """The stack's file, in a folder that only its owner may enter."""
    return home / "kept" / "settings.json"


def lock_file(home: Path) -> Path:
    """The file that a stack's launcher holds open and locked as long as it runs."""
    return home / "lock"


def is_launcher(pid: int, home: Path) -> bool:
    """Whether a process is the launcher of the stack in this folder: it holds the lock open.

    False for another user's process, as its open files cannot be seen.
    """
    try:
        lock = lock_file(home).stat()
        return any(_is_open_on(descriptor, lock) for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _is_open_on(descriptor: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(descriptor.stat(), file)
    except FileNotFoundError:  # closed meanwhile
        return False


def _require_ours(path: Path, found: os.stat_result, kind: int) -> None:
    """Raise KeptError if others could have written it: they could direct photos and passwords to their servers."""
    if stat.S_IFMT(found.st_mode) != kind:
        raise KeptError(f"{path} is not what `maskwright up` writes")
    if found.st_uid != os.geteuid():
        raise KeptError(f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}")
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise KeptError(f"others may write to {path}; take the right from them: chmod go-w {path}")


@dataclass(frozen=True)
class Resolved:
    """The settings, where each given one comes from, and lines about conflicts and about ignored variables."""

    settings: Settings
    given: Mapping[str, Given]
    conflicts: Sequence[str]
    remarks: Sequence[str]

    def listed(self) -> Iterator[Given]:
        """Every setting in the class's order, without secrets.

        A setting that was not given has the origin `PIPELINE_CONFIG: FILE`, `default`, or `embedded` for a server that
        `maskwright up` would start.
        """
        file = self.given.get("pipeline_config")
        in_file = file_settings(file)
        for name, field in Settings.model_fields.items():
            value = getattr(self.settings, name)
            if (given := self.given.get(name)) is not None:
                yield replace(given, value=masked(value))
                continue
            origin = "embedded" if self._is_embedded(name, value) else "default"
            origin = f"PIPELINE_CONFIG: {file.value}" if file and name in in_file else origin
            yield Given(variable_names(name, field)[0], masked(value), origin)

    def _is_embedded(self, name: str, value: object) -> bool:
        """Whether `maskwright up` fills in a setting that has no value."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return name in _OF_SERVERS and not text and self.settings.db_use_database


def home() -> Path:
    """The folder of this shell's stack, with all links resolved."""
    return named_home().resolve()


def named_home() -> Path:
    """The folder of this shell's stack as it is named, even if that is a link."""
    field = Settings.model_fields["maskwright_home"]
    said = read_environment({"maskwright_home": field}).given.get("maskwright_home")
    return Path(said.value if said else field.default).absolute()


def resolve() -> Resolved:
    """This shell's variables, then what the running stack was started with, then defaults.

    Raises SettingsError, one line for each bad variable, with its origin where that is not this shell.
    """
    shell = read_environment(Settings.model_fields)
    kept, told = _kept(home())
    conflicts = [*told, *_conflict(shell.given, kept)]
    in_file = file_settings(shell.given.get("pipeline_config"))
    overruled = {*shell.given, *in_file, *_of_other_servers(shell.given, kept)}
    from_stack = {name: one for name, one in kept.items() if name not in overruled}
    return Resolved(Settings.from_environment(from_stack), {**from_stack, **shell.given}, conflicts, shell.remarks)


def started_with() -> Mapping[str, str]:
    """The variables that give this process its settings, PIPELINE_CONFIG's values among them; paths are absolute."""
    fields = Settings.model_fields
    given = read_environment(fields).given
    values = {name: str(value) for name, value in file_settings(given.get("pipeline_config")).items()}
    values |= {name: one.value for name, one in given.items() if name not in {"pipeline_config", "maskwright_home"}}
    values |= {name: path for name, path in _absolute(given).items() if name in values}
    return {variable_names(name, fields[name])[0]: value for name, value in values.items()}


def absolute_paths() -> Mapping[str, str]:
    """The variables that name files, with paths that hold in any folder."""
    given = read_environment(Settings.model_fields).given
    return {given[name].variable: path for name, path in _absolute(given).items()}


def _absolute(given: Mapping[str, Given]) -> Mapping[str, str]:
    kinds = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: str(Path(one.value).absolute()) for name, one in given.items() if kinds[name] in (Path, Path | None)}


def _kept(folder: Path) -> tuple[Mapping[str, Given], Sequence[str]]:
    """The values of the stack in this folder, by the settings' names; and a line where its file is not trusted."""
    try:
        kept = KeptSettings.read(folder)
    except KeptError as error:
        return {}, [f"what the stack was started with is not read: {error}"]
    if kept is None:
        return {}, []
    given = _by_setting(kept.given, f"kept by `maskwright up` in {folder}")
    running = _by_setting(kept.running, f"embedded: the stack in {folder}")
    holding = {name: one for name, one in given.items() if one.value == running.get(name, one).value}
    return {**running, **holding}, []


def _by_setting(variables: Mapping[str, str], origin: str) -> Mapping[str, Given]:
    given = read_environment(Settings.model_fields, variables).given
    return {name: replace(one, origin=origin) for name, one in given.items()}


def _of_other_servers(shell: Mapping[str, Given], kept: Mapping[str, Given]) -> Iterator[str]:
    """The stack's settings about each server in whose place this shell names another: no login may be sent there."""
    for name, prefixes in _SERVERS.items():
        if name in shell and (name not in kept or shell[name].value != kept[name].value):
            yield from (setting for setting in kept if setting.startswith(prefixes))


def _conflict(shell: Mapping[str, Given], kept: Mapping[str, Given]) -> Iterator[str]:
    said = {**{name: one.value for name, one in shell.items()}, **_absolute(shell)}
    differing = [shell[name].variable for name, value in said.items() if name in kept and value != kept[name].value]
    if differing:
        are = "differs" if len(differing) == 1 else "differ"
        yield f"{', '.join(differing)} {are} in this shell from what the running stack has; this shell's counts"


def masked(value: object) -> str:
    """A setting's value as text without secrets; of an address only the password is hidden."""
    if isinstance(value, SecretStr):
        return _masked_secret(value.get_secret_value())
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "not set"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "not set" if value is None or not text else shown(text)


def _masked_secret(secret: str) -> str:
    if not secret:
        return "not set"
    address = re.fullmatch(r"([a-z][a-z0-9+.-]*://)(?:([^:/@]*)(:.*)?@)?([^@]*)", secret, re.IGNORECASE | re.DOTALL)
    if address is None:
        return "…"
    login = f"{address[2]}{':…' if address[3] else ''}@" if address[2] is not None else ""
    place = _PASSWORD_IN_QUERY.sub(r"\1…", address[4])
    return printable(f"{address[1]}{login}{place}")
