"""`maskwright keys` and `audit`, beside a gateway that asks for what they make."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.settings import Settings
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import FORM, JOBS, House
from tests.servers import fresh_database


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The gateway logs in this process, into what the command seems to print."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


async def maskwright(settings: Settings, *arguments: str, **more: str) -> Result:
    environment = {
        "MASKWRIGHT_HOME": str(settings.maskwright_home),
        "DB_USE_DATABASE": str(settings.db_use_database),
        "POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
        "COLUMNS": "200",
        **more,
    }
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=environment)


async def created(settings: Settings, *options: str) -> str:
    made = await maskwright(settings, "keys", "create", "a test", *options)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


async def test_a_key_is_made_used_listed_and_revoked(settings: Settings, house: House) -> None:
    key = await created(settings, "--scope", "run:*", "--scope", "jobs:read", "--tenant", "acme", "--days", "1")
    used = await house.client.post(JOBS, files=FORM, headers={"X-API-Key": key})
    assert used.status_code == 202
    listed = await maskwright(settings, "jobs", "list", MASKWRIGHT_TOKEN=key, MASKWRIGHT_URL=str(house.client.base_url))
    assert used.json()["id"] in listed.output
    key_id = key.split("_")[1]
    (shown,) = (
        one for one in json.loads((await maskwright(settings, "keys", "list", "--json")).stdout) if one["id"] == key_id
    )
    assert (shown["name"], shown["tenant"], shown["state"]) == ("a test", "acme", "valid")
    assert shown["scopes"] == ["run:*", "jobs:read"]
    table = (await maskwright(settings, "keys", "list")).output
    assert key_id in table
    assert key not in table
    assert (await maskwright(settings, "keys", "revoke", key_id)).exit_code == 0
    assert_problem(await house.client.get(JOBS, headers={"X-API-Key": key}), "key_revoked")
    assert (await maskwright(settings, "keys", "revoke", key_id)).exit_code == 1
    acts = json.loads((await maskwright(settings, "audit", "--job", used.json()["id"], "--json")).stdout)
    assert [(act["caller"], act["action"], act["tenant"]) for act in acts] == [(f"key:{key_id}", "submit", "acme")]
    assert used.json()["id"] in (await maskwright(settings, "audit", "--caller", f"key:{key_id}")).output


async def test_the_first_key_is_printed_and_nothing_else(settings: Settings, postgres_dsn: str) -> None:
    structlog.reset_defaults()
    database = {"POSTGRES_DSN": fresh_database(postgres_dsn)} if settings.db_use_database else {}
    made = await maskwright(settings, "keys", "create", "a test", "--scope", "operate", **database)
    assert re.fullmatch(r"mwk_[0-9a-f]{12}_[\w-]{43}\n", made.stdout)


async def test_no_key_is_made_where_the_gateway_could_not_read_it(tmp_path: Path, settings: Settings) -> None:
    nowhere = {"DB_USE_DATABASE": "true", "POSTGRES_DSN": "", "MASKWRIGHT_HOME": str(tmp_path)}
    made = await maskwright(settings, "keys", "create", "a test", "--scope", "run:*", **nowhere)
    assert (made.exit_code, made.stdout) == (2, "")
    assert "DB_USE_DATABASE=false" in made.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--scope", "everything"),
        ("--scope", "run:blur"),
        ("--scope", "run:*", "--tenant", "A/B"),
        ("--tenant", "acme"),
        ("--scope", "run:*", "--days", "9" * 12),
    ],
)
async def test_a_key_with_invalid_options_is_not_made(
    settings: Settings, house: House, options: tuple[str, ...]
) -> None:
    del house  # its tables are there
    assert (await maskwright(settings, "keys", "create", "a test", *options)).exit_code == 2
