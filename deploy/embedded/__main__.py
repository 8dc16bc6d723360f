"""`python -m deploy.embedded`: the launcher, in the foreground."""

import asyncio
import os
import signal
import sys

from deploy.embedded import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.launcher import end_leftovers, only_launcher
from deploy.embedded.stack import Stack, keeping, services_for
from gateway.logs import configure_logs, get_logger
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import log_remarks


def main() -> int:
    """Run the stack until it is told to stop. Returns 1, with a message, if it cannot start."""
    # If our parent ignores SIGCHLD, so would we, and a dead server's process id would be free before we notice.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.umask(0o077)
    try:
        settings = Settings.from_environment()
        folders = Folders.at(settings.maskwright_home.absolute())
        folders.create()
        configure_logs(settings)
        log_remarks(get_logger("gateway.settings"), Settings.model_fields)
        with only_launcher(folders):
            end_leftovers(folders)
            services = services_for(settings, folders)
            with keeping(settings, folders, services):
                asyncio.run(Stack(services, folders).run())
    except (StackError, SettingsError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the only thing a person sees of a failed start
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
