"""The variables of the stack's processes: where each server is, and nothing that changes what they load."""

import os
import re
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from deploy.embedded import StackError
from deploy.embedded.folders import Credentials
from gateway.settings import Settings
from gateway.settings.environment import read_environment, variable_names

_FOREIGN = (
    *("PYTHON", "PIP_", "VIRTUAL_ENV", "CONDA", "_CE_", "BASH", "LD_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "OPENCV_", "CV_IO_"),
)
"""Prefixes of variables that change the interpreter, the loader, the shell that Triton calls, threads or decoders."""
_FOREIGN_NAMES = frozenset({"ENV", "SHELLOPTS", "POSIXLY_CORRECT", "IFS", "CDPATH", "GLOBIGNORE"})
_PLAIN = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "MASKWRIGHT_TESTS"})
_PLAIN_PREFIXES = ("LC_", "CUDA_", "NVIDIA_")
"""Variables that every process gets. None of them is secret. The last name marks processes that tests start."""
_WEB = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
"""Variables for processes that speak to other servers, in upper or lower case."""
_FILE = "_FILE"
_NAMING = ("SSL_CERT_", "AWS_", "PG", "GRPC_")
"""Prefixes of variables that name files, besides the settings that do."""
_IN_ADDRESS = re.compile(r"(?:ssl\w+|passfile)\s*=\s*(?:'([^']*)'|([^&\s]+))")
"""Files in PostgreSQL's addresses."""
POSTGRES_ADMIN = "maskwright"
"""The administrator, whom initdb creates. Former versions gave this user to the gateway."""
POSTGRES_USER = "maskwright_gateway"
POSTGRES_DATABASE = "maskwright"
"""The gateway's user, and the database that it owns."""


@dataclass(frozen=True)
class Addresses:
    """Settings in which every address is filled in, and the servers that belong to the stack."""

    settings: Settings
    own_postgres: bool
    own_s3: bool
    own_kafka: bool

    @classmethod
    def of(cls, given: Settings, secrets: Path) -> "Addresses":
        """Fill in missing addresses, with the passwords stored in the file `secrets`.

        Raises StackError if an embedded server cannot do what the settings ask.
        """
        if not given.db_use_database:
            return cls(given, own_postgres=False, own_s3=False, own_kafka=False)
        credentials = Credentials.kept(secrets)
        settings = _without_our_own(given, credentials)
        own_s3 = not settings.minio_endpoint
        own_kafka = not settings.kafka_bootstrap_servers
        if own_s3 and settings.minio_secure:
            raise StackError("the embedded S3 does not speak TLS; give MINIO_ENDPOINT, or unset MINIO_SECURE")
        if own_kafka and settings.kafka_security_protocol != "PLAINTEXT":
            raise StackError(
                "the embedded Kafka has neither TLS nor logins; give KAFKA_BOOTSTRAP_SERVERS, or unset "
                "KAFKA_SECURITY_PROTOCOL"
            )
        return cls(_filled(settings, credentials), not settings.postgres_dsn.get_secret_value(), own_s3, own_kafka)

    def environment(self) -> Mapping[str, str]:
        """The addresses as variables, for the gateway, the workers and a person's own tools."""
        settings = self.settings
        if not settings.db_use_database:
            return {}
        token = settings.minio_session_token.get_secret_value()
        return {
            "POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
            "MINIO_ENDPOINT": settings.minio_endpoint,
            **({"MINIO_SECURE": "true"} if settings.minio_secure else {}),
            "MINIO_ACCESS_KEY": settings.minio_access_key,
            "MINIO_SECRET_KEY": settings.minio_secret_key.get_secret_value(),
            **({"MINIO_SESSION_TOKEN": token} if token else {}),
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        }


def _embedded(settings: Settings, credentials: Credentials) -> Mapping[str, str]:
    password = credentials.postgres_password
    address = f"127.0.0.1:{settings.postgres_port}"
    return {
        "postgres_dsn": f"postgresql://{POSTGRES_USER}:{password}@{address}/{POSTGRES_DATABASE}",
        "minio_endpoint": f"127.0.0.1:{settings.s3_port}",
        "kafka_bootstrap_servers": f"127.0.0.1:{settings.kafka_port}",
    }


def _former_dsn(settings: Settings, credentials: Credentials) -> str:
    """What `maskwright env` printed in a version without an administrator."""
    password = credentials.postgres_password
    return f"postgresql://{POSTGRES_ADMIN}:{password}@127.0.0.1:{settings.postgres_port}/postgres"


def _without_our_own(given: Settings, credentials: Credentials) -> Settings:
    """In a shell that evaluated `maskwright env`, our own addresses do not count as servers of others.

    Such a shell is recognised by our passwords.
    """
    own = _embedded(given, credentials)
    if given.postgres_dsn.get_secret_value() == _former_dsn(given, credentials):
        given = given.model_copy(update={"postgres_dsn": SecretStr(own["postgres_dsn"])})
    ours = (own["postgres_dsn"], credentials.s3_secret_key)
    if not {given.postgres_dsn.get_secret_value(), given.minio_secret_key.get_secret_value()} & set(ours):
        return given
    values = {name: _plain(getattr(given, name)) for name in own}
    blank = {"postgres_dsn": SecretStr(""), "minio_endpoint": "", "kafka_bootstrap_servers": ""}
    return given.model_copy(update={name: blank[name] for name, value in values.items() if value == own[name]})


def _filled(settings: Settings, credentials: Credentials) -> Settings:
    own = _embedded(settings, credentials)
    update: dict[str, str | SecretStr] = {}
    if not settings.postgres_dsn.get_secret_value():
        update["postgres_dsn"] = SecretStr(own["postgres_dsn"])
    if not settings.kafka_bootstrap_servers:
        update["kafka_bootstrap_servers"] = own["kafka_bootstrap_servers"]
    if not settings.minio_endpoint:
        update["minio_endpoint"] = own["minio_endpoint"]
        update["minio_access_key"] = settings.minio_access_key or credentials.s3_access_key
        secret = settings.minio_secret_key.get_secret_value() or credentials.s3_secret_key
        update["minio_secret_key"] = SecretStr(secret)
        update["minio_session_token"] = SecretStr("")
    return settings.model_copy(update=update)


def _plain(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def own_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The launcher's environment without variables that would change how its processes work, plus the given ones."""
    kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    return {**kept, **_python(), **given}


def plain_environment() -> dict[str, str]:
    """The variables of the launcher's environment that any process may have."""
    names = (name for name in os.environ if name in _PLAIN or name.startswith(_PLAIN_PREFIXES))
    return {**{name: os.environ[name] for name in names}, **_python()}


def settings_environment(prefixes: tuple[str, ...]) -> dict[str, str]:
    """The same with the given settings, proxies and certificates, and the variables that begin with a prefix.

    Secrets from files are in it as values: the user of a process need not be able to read these files.
    """
    others = (name for name in os.environ if name.upper() in _WEB or name.startswith(("GRPC_", *prefixes)))
    given = read_environment(Settings.model_fields).given
    values = {_own_name(name, one.variable): one.value for name, one in given.items()}
    return {**plain_environment(), **{name: os.environ[name] for name in others}, **values}


def named_files(environment: Mapping[str, str]) -> Sequence[Path]:
    """The files that the variables name: certificates, keys, configuration. One may be on a volume of Kubernetes."""
    fields = Settings.model_fields.items()
    ours = {name for key, field in fields if _is_path(field) for name in variable_names(key, field)}
    found = []
    for name, value in environment.items():
        texts = [value] if name in ours or name.startswith(_NAMING) else []
        texts += [match[1] or unquote(match[2]) for match in _IN_ADDRESS.finditer(value)]
        paths = (Path(text) for text in texts if text.startswith("/"))
        found += [path for path in paths if path.is_file() or (name == "SSL_CERT_DIR" and path.is_dir())]
    return [path.parent if (path.parent / "..data").exists() else path for path in found]


def _own_name(setting: str, variable: str) -> str:
    """The variable that takes a value directly, for one that names a file with the value."""
    names = variable_names(setting, Settings.model_fields[setting])
    named = variable.upper().endswith(_FILE) and variable.upper() not in names
    return variable[: -len(_FILE)] if named else variable


def _is_path(field: FieldInfo) -> bool:
    return field.annotation in (Path, Path | None)


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name in _FOREIGN_NAMES


def _python() -> dict[str, str]:
    return {**_libraries(), "PYTHONUTF8": "1", **_own_packages()}


def _own_packages() -> dict[str, str]:
    """A virtual environment has everything that is needed. Without one, packages may be in the user's folder."""
    return {"PYTHONNOUSERSITE": "1"} if sys.prefix != sys.base_prefix else {}


def _libraries() -> dict[str, str]:
    """Some Pythons find their own library only through LD_LIBRARY_PATH. They keep that folder of it."""
    folder = str(sysconfig.get_config_var("LIBDIR"))
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return {"LD_LIBRARY_PATH": folder} if folder in folders else {}
