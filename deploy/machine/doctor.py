"""`maskwright doctor`: whether this machine can run the stack, its servers answer, and where settings come from."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import typer
from rich.table import Table

from deploy.embedded import CHECKOUT, StackError, hardware, launcher
from deploy.embedded.addresses import Addresses
from deploy.embedded.folders import Folders
from deploy.embedded.rights import Rights
from gateway.cli.terminal import Screen, cell
from gateway.postgres.address import AddressError, read_address
from gateway.settings import Settings, SettingsError
from gateway.settings.sources import home, resolve
from gateway.untrusted_text import shown

PREFLIGHT = CHECKOUT / "deploy" / "machine" / "preflight.sh"
TIMEOUT_S = 3.0

_console = Screen()


@dataclass(frozen=True)
class Finding:
    """One check. If it failed, the text says what would be right."""

    good: bool
    text: str


def doctor() -> None:
    """Show where each setting comes from, and what can and cannot work here. Exit status 1 if something cannot."""
    findings = [*_settings(), *machine(), *_configured()]
    for finding in findings:
        _print(finding)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


def machine() -> Iterator[Finding]:
    """The checks of the first command: the processor, libraries, disk, memory, ports."""
    run = subprocess.run(
        ["/bin/sh", str(PREFLIGHT), "run"],
        cwd=CHECKOUT,
        env={**os.environ, "MASKWRIGHT_HOME": str(home())},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    for line in run.stdout.splitlines():
        yield Finding(line.startswith("ok: "), line[4:])


def _settings() -> Iterator[Finding]:
    """Print every setting with its origin. Find those that cannot be used."""
    try:
        found = resolve()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Finding(good=False, text=line)
        return
    table = Table("setting", "value", "from", box=None, header_style="bold")
    for setting in found.listed():
        row = (setting.variable, setting.value, setting.origin)
        table.add_row(*map(cell, row), style="dim" if setting.origin == "default" else None)
    _console.print(table)
    for remark in (*found.conflicts, *found.remarks):
        _console.print(shown(remark), style="yellow", soft_wrap=True)
    yield Finding(good=True, text="every setting can be used")


def _configured() -> Iterator[Finding]:
    """Checks that depend on the settings. Empty if these cannot be used."""
    try:
        settings = resolve().settings
    except SettingsError:
        return
    try:
        yield from _rights(settings)
        if limits := hardware.lowered_limits(settings):
            yield Finding(good=True, text=limits)
        yield from asyncio.run(_servers(settings))
    except AddressError as error:
        yield Finding(good=False, text=f"{settings.postgres_variable}: {error}")
    except StackError as error:
        for line in str(error).splitlines():
            yield Finding(good=False, text=line)


def _rights(settings: Settings) -> Iterator[Finding]:
    """Whether the servers' rights can be enforced, and the stack's folder is ours."""
    folders = Folders.at(settings.maskwright_home.absolute())
    folders.require_ours()
    for fault in Rights(folders.decoder, [], always_confined=True).faults():
        yield Finding(good=True, text=f"of Triton: {fault}")


async def _servers(settings: Settings) -> list[Finding]:
    """Whether each address is listened on. The stack's own are checked while it runs, those of others always."""
    folders = Folders.at(settings.maskwright_home.absolute())
    runs = launcher.running(folders) is not None
    addresses = Addresses.of(settings, folders.secrets) if runs else Addresses(settings, *(False,) * 3)
    found = await asyncio.gather(
        *(_check_address(name, each) for name, each in _addresses(addresses.settings, runs=runs))
    )
    return [*found, *([] if runs else [Finding(good=True, text="the stack does not run; `make up` starts it")])]


def _addresses(settings: Settings, *, runs: bool) -> Iterator[tuple[str, str]]:
    """Each server's name and host:port."""
    if settings.uses_database:
        address = read_address(settings.postgres_dsn.get_secret_value())
        for host, port in zip(address.hosts, address.ports, strict=True):
            yield "PostgreSQL", f"{host}/.s.PGSQL.{port}" if host.startswith("/") else f"{host}:{port}"
    if settings.minio_endpoint:
        default = ":443" if settings.minio_secure else ":80"
        yield "S3", settings.minio_endpoint + ("" if ":" in settings.minio_endpoint else default)
    for server in filter(None, settings.kafka_bootstrap_servers.split(",")):
        yield "Kafka", server.strip()
    if runs or not hardware.is_used(settings):
        yield "Triton", settings.triton_grpc_url
    if runs:
        yield "the gateway", f"{settings.local_host}:{settings.api_port}"


async def _check_address(name: str, address: str) -> Finding:
    host, _, port = address.rpartition(":")
    try:
        connecting = (
            asyncio.open_unix_connection(address)
            if address.startswith("/")
            else asyncio.open_connection(host.strip("[]"), int(port))
        )
        _, writer = await asyncio.wait_for(connecting, TIMEOUT_S)
        writer.close()
    except (OSError, ValueError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else str(error)
        return Finding(good=False, text=f"{name} at {address} cannot be reached: {why}")
    return Finding(good=True, text=f"{name} at {address} can be reached")


def _print(finding: Finding) -> None:
    mark = cell("✓ ", "green") if finding.good else cell("✗ ", "red")
    _console.print(mark, cell(finding.text), sep="", soft_wrap=True)
