"""Keeping what the stack was started with, for the commands of other shells."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from deploy.embedded.addresses import Addresses
from deploy.embedded.errors import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.service import Service
from gateway.settings import Settings
from gateway.settings.files import Kept, KeptError
from gateway.settings.origins import started_with


@contextmanager
def keeping(settings: Settings, folders: Folders, services: Sequence[Service]) -> Iterator[None]:
    """Other shells know the settings as long as the context lasts. Raises StackError where they cannot be written."""
    given = started_with()
    addresses = Addresses.of(settings, folders.secrets)
    ports = {setting: str(port) for service in reversed(services) for setting, port in service.ports().items()}
    running = {**_outside(addresses, given), **ports, **addresses.environment()}
    try:
        Kept(os.getpid(), given, running).write(folders.home)
    except (OSError, KeptError) as error:
        raise StackError(f"what the stack is started with cannot be kept in {folders.home}: {error}") from error
    try:
        yield
    finally:
        Kept.remove(folders.home)


def _outside(addresses: Addresses, given: Mapping[str, str]) -> Mapping[str, str]:
    """How the servers that are not the stack's own are spoken to: their logins, TLS, names in them."""
    own = {"POSTGRES_": addresses.own_postgres, "MINIO_": addresses.own_s3, "KAFKA_": addresses.own_kafka}
    prefixes = tuple(prefix for prefix, is_own in own.items() if not is_own)
    used = addresses.settings.db_use_database and prefixes
    return {name: value for name, value in given.items() if used and name.startswith(prefixes) and name[-5:] != "_PORT"}
