"""The settings of a command: this shell's variables, then what the running stack was started with, then defaults."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.settings.environment import Given, read_environment, variable_names
from gateway.settings.kept import Kept, KeptError
from gateway.settings.pipeline_file import file_settings
from gateway.settings.settings import Settings

_SERVERS: Mapping[str, tuple[str, ...]] = {
    "postgres_dsn": ("postgres_", "db_"),
    "db_host": ("postgres_", "db_"),
    "minio_endpoint": ("minio_", "s3_"),
    "kafka_bootstrap_servers": ("kafka_",),
}
"""What names a server, and the settings about it: a shell that names another one takes none of them from the stack."""


@dataclass(frozen=True)
class Resolved:
    """The settings, who gives each that is given, and lines about what was passed over or contradicts another."""

    settings: Settings
    given: Mapping[str, Given]
    conflicts: Sequence[str]
    remarks: Sequence[str]


def home() -> Path:
    """The folder of this shell's stack; the one setting that tells where the others are kept."""
    return named_home().resolve()


def named_home() -> Path:
    """The same as it is named, be it a link."""
    field = Settings.model_fields["maskwright_home"]
    said = read_environment({"maskwright_home": field}).given.get("maskwright_home")
    return Path(said.value if said else field.default).absolute()


def resolve() -> Resolved:
    """Raises SettingsError, one line for each bad variable, with its origin where that is not this shell."""
    shell = read_environment(Settings.model_fields)
    kept, told = _kept(home())
    conflicts = [*told, *_conflict(shell.given, kept)]
    file = shell.given.get("pipeline_config")
    beaten = {*shell.given, *(file_settings(Path(file.value)) if file else ()), *_of_other_servers(shell.given, kept)}
    left = {name: one for name, one in kept.items() if name not in beaten}
    return Resolved(Settings.from_environment(left), {**left, **shell.given}, conflicts, shell.remarks)


def started_with() -> Mapping[str, str]:
    """The variables that give this process its settings, PIPELINE_CONFIG's values among them; paths are absolute."""
    fields = Settings.model_fields
    given = read_environment(fields).given
    file = given.get("pipeline_config")
    values = {name: str(value) for name, value in (file_settings(Path(file.value)) if file else {}).items()}
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
    """What the stack in this folder gives, by the settings' names; and a line where that is not believed."""
    try:
        kept = Kept.read(folder)
    except KeptError as error:
        return {}, [f"what the stack was started with is not read: {error}"]
    if kept is None:
        return {}, []
    given = _by_setting(kept.given, f"kept by `maskwright up` in {folder}")
    running = _by_setting(kept.running, f"embedded: the stack in {folder}")
    return {**running, **{name: one for name, one in given.items() if _is_true(name, one, running)}}, []


def _is_true(name: str, given: Given, running: Mapping[str, Given]) -> bool:
    return name not in running or given.value == running[name].value


def _by_setting(variables: Mapping[str, str], origin: str) -> Mapping[str, Given]:
    given = read_environment(Settings.model_fields, variables).given
    return {name: replace(one, origin=origin) for name, one in given.items()}


def _of_other_servers(shell: Mapping[str, Given], kept: Mapping[str, Given]) -> Iterator[str]:
    """Settings of the stack's about a server in whose place this shell names another: no login goes to a stranger."""
    for name, prefixes in _SERVERS.items():
        if name in shell and (name not in kept or shell[name].value != kept[name].value):
            yield from (setting for setting in kept if setting.startswith(prefixes))


def _conflict(shell: Mapping[str, Given], kept: Mapping[str, Given]) -> Iterator[str]:
    said = {**{name: one.value for name, one in shell.items()}, **_absolute(shell)}
    differing = [shell[name].variable for name, value in said.items() if name in kept and value != kept[name].value]
    if differing:
        are = "differs" if len(differing) == 1 else "differ"
        yield f"{', '.join(differing)} {are} in this shell from what the running stack has; this shell's counts"
