"""`python -m deploy.embedded`: the launcher, in the foreground."""

import asyncio
import sys

from deploy.embedded.errors import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.stack import Stack, services_for
from gateway.settings import Settings, SettingsError


def main() -> int:
    """Run the stack until it is told to stop; 1 and a message where it cannot start."""
    try:
        settings = Settings.from_environment()
        folders = Folders(settings.maskwright_home.resolve())
        folders.create()
        asyncio.run(Stack(services_for(settings, folders), folders).run())
    except (StackError, SettingsError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the only thing a person sees of a failed start
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
