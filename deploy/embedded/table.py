"""What runs, as a person reads it."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.embedded.state import StackState

_COLOURS = {"ready": "green", "failed": "red", "stopped": "dim", "waiting": "dim"}


def service_table(state: StackState) -> Group:
    """One row a service; below them what does not work of those that serve."""
    table = Table("service", "state", "process", "ports", "restarts", box=None, header_style="bold")
    for service in state.services.values():
        colour = _COLOURS.get(service.state, "yellow")
        ports = ", ".join(map(str, service.ports.values()))
        words = ": ".join(filter(None, (service.state, service.doing)))
        table.add_row(service.name, Text(words, colour), str(service.pid or "–"), ports, str(service.restarts))
    notes = [f"{service.name}: {note}" for service in state.services.values() for note in service.notes]
    return Group(table, *(Text(note, "yellow") for note in notes))
