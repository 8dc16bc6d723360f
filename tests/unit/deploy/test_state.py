from pathlib import Path

from deploy.embedded.folders import ServiceState, StackState


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = StackState(7, "ready").with_service(ServiceState("triton", "ready", 8, {"TRITON_GRPC_PORT": 8001}, 2))
    state.write(tmp_path / "stack.json")
    assert StackState.read(tmp_path / "stack.json") == state
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


def test_missing_state_file_reads_as_none(tmp_path: Path) -> None:
    assert StackState.read(tmp_path / "stack.json") is None


def test_a_state_with_another_programs_process_id_is_not_alive(tmp_path: Path) -> None:
    assert not StackState(1, "ready").is_alive(tmp_path)
