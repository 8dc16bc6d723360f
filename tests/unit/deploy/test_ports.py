import socket

import pytest

from deploy.embedded import StackError
from deploy.embedded.supervisor import Listener, require_free
from tests.ports import free_ports


def test_free_ports_are_accepted() -> None:
    require_free(map(Listener, "ab", free_ports(2)))


def test_a_used_port_is_an_error_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} is taken.*move PORT"):
            require_free([Listener("PORT", port)])


def test_one_port_for_two_settings_is_refused() -> None:
    with pytest.raises(StackError, match="B and A both take port 8000"):
        require_free([Listener("A", 8000), Listener("B", 8000)])
