from rich.console import Console

from deploy.embedded.commands import service_table
from deploy.embedded.folders import ServiceState, StackState


def test_table_shows_the_notes_of_a_service() -> None:
    notes = ["left out: mine/config.pbtxt: 1:10 : Expected [string]"]
    triton = ServiceState("triton", "ready", 7, {"TRITON_GRPC_PORT": 8001}, notes=notes)
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(service_table(StackState(1, "ready", {"triton": triton})))
    text = console.export_text()
    assert "ready" in text
    assert "triton: left out: mine/config.pbtxt: 1:10 : Expected [string]" in text
