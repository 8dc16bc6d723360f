"""What runs, as a person reads it."""

from rich.console import Group
from rich.table import Table

from deploy.embedded.state import StackState
from gateway.cli.terminal import cell

_COLOURS = {"ready": "green", "failed": "red", "stopped": "dim", "waiting": "dim"}


def service_table(state: StackState) -> Group:
    """One row a service; below them what does not work of those that serve."""
    table = Table("service", "state", "process", "ports", "restarts", box=None, header_style="bold")
    for service in state.services.values():
        colour = _COLOURS.get(service.state, "yellow")
        ports = ", ".join(map(str, service.ports.values()))
        words = ": ".join(filter(None, (service.state, service.doing)))
        facts = (service.pid or "–", ports, service.restarts)
        table.add_row(cell(service.name), cell(words, colour), *map(cell, facts))
    notes = [f"{service.name}: {note}" for service in state.services.values() for note in service.notes]
    return Group(table, *(cell(note, "yellow") for note in notes))
