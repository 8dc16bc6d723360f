import socket

import pytest

from deploy.embedded.errors import StackError
from deploy.embedded.ports import require_free
from tests.stack import free_ports


def test_free_ports_pass() -> None:
    require_free("127.0.0.1", dict(zip("ab", free_ports(2), strict=True)))


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} is taken.*set PORT"):
            require_free("127.0.0.1", {"PORT": port})


def test_one_port_for_two_settings_is_refused() -> None:
    with pytest.raises(StackError, match="B and A are both 8000"):
        require_free("127.0.0.1", {"A": 8000, "B": 8000})
