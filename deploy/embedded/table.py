"""What runs, as a person reads it."""

from rich.table import Table

from deploy.embedded.state import StackState

_COLOURS = {"ready": "green", "failed": "red", "stopped": "dim", "waiting": "dim"}


def service_table(state: StackState) -> Table:
    """One row a service."""
    table = Table("service", "state", "process", "ports", "restarts", box=None, header_style="bold")
    for service in state.services.values():
        colour = _COLOURS.get(service.state, "yellow")
        ports = ", ".join(map(str, service.ports.values()))
        table.add_row(
            service.name, f"[{colour}]{service.state}[/]", str(service.pid or "–"), ports, str(service.restarts)
        )
    return table
