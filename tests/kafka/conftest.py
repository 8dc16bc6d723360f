from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.kafka.conftest import ours  # noqa: F401 a fixture
from tests.kafka.cluster import Cluster, running_cluster
from tests.kafka.parts import Tokens, token_server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers that the tests of this folder share."""
    with running_cluster(tmp_path_factory.mktemp("apache")) as running:
        yield running


@pytest.fixture
async def tokens() -> AsyncIterator[Tokens]:
    """A server of tokens."""
    async with token_server() as server:
        yield server
