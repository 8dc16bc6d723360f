"""What a process of our own gets: its environment, and the rights that go with it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.addresses import Addresses
from deploy.embedded.environment import named_files, settings_environment
from deploy.embedded.folders import Folders
from deploy.embedded.rights import PYTHON, Rights, python_folders

_OF_POSTGRES = (".pg_service.conf", ".pgpass", ".postgresql")
_OF_AWS = (".aws",)
"""What clients of other servers look for in the home folder of their user."""


@dataclass(frozen=True)
class OwnProcess:
    """The gateway, or a worker."""

    folders: Folders
    environment: Mapping[str, str]
    read: Sequence[Path]

    @classmethod
    def of(cls, addresses: Addresses, folders: Folders, given: Mapping[str, str]) -> "OwnProcess":
        """What the settings ask for, with `given` before all; of other servers' logins those of servers in use."""
        uses = addresses.settings.db_use_database
        postgres, aws = (uses and not addresses.own_postgres), (uses and not (addresses.own_s3 and addresses.own_kafka))
        prefixes = (*(("PG",) if postgres else ()), *(("AWS_",) if aws else ()))
        environment = settings_environment(prefixes)
        home = Path(environment.get("HOME", "/"))
        names = (*(_OF_POSTGRES if postgres else ()), *(_OF_AWS if aws else ()))
        files = [home / name for name in names if os.path.lexists(home / name)]
        scratch = str(folders.scratch(folders.servers))
        if folders.servers.is_other:
            environment |= {"TMPDIR": scratch, **({} if files else {"HOME": scratch})}
        environment |= {"MASKWRIGHT_HOME": str(folders.home), **given}
        return cls(folders, environment, [*files, *named_files(environment)])

    def rights(self, ports: Sequence[int]) -> Rights:
        """It reads our code and what the settings name; without a database it keeps keys in a folder."""
        user = self.folders.servers
        write = [self.folders.access, self.folders.scratch(user)]
        return Rights(user, [PYTHON], read=[*python_folders(), *self.read], write=write, ports=ports)
