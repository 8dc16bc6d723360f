import asyncio
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.access.audit import AuditEntry, AuditFilter, FileAudit
from gateway.access.keys import FileKeys, new_key
from gateway.errors import Problem
from gateway.settings import Settings

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def settings_in(folder: Path) -> Settings:
    return Settings(db_use_database=False, maskwright_home=folder / "home")


async def test_keys_are_kept_after_the_process_ends_without_their_secrets(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert await FileKeys(settings).all() == ()
    made = [new_key(f"key {number}", "acme", ["jobs:read"], NOW, None) for number in range(8)]
    await asyncio.gather(*(FileKeys(settings).add(key) for key, _ in made))
    keys = FileKeys(settings)
    assert sorted(key.name for key in await keys.all()) == [f"key {number}" for number in range(8)]
    kept, text = made[0]
    assert await keys.find(kept.id) == kept
    assert await keys.find("nobody") is None
    for folder in (tmp_path / "home", tmp_path / "home" / "access"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (tmp_path / "home" / "access").iterdir():
        assert text.split("_", 2)[2] not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_key_is_revoked_once(tmp_path: Path) -> None:
    keys = FileKeys(settings_in(tmp_path))
    key, _ = new_key("key", "", ["operate"], NOW, NOW)
    await keys.add(key)
    assert await keys.revoke(key.id)
    assert not await keys.revoke(key.id)
    assert not await keys.revoke("nobody")
    found = await keys.find(key.id)
    assert found is not None
    assert found.revoked_at is not None
    assert replace(found, revoked_at=None) == key


async def test_a_damaged_key_file_lets_nobody_in(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    folder = settings.maskwright_home / "access"
    folder.mkdir(parents=True)
    (folder / "keys.json").write_text("[{}]")
    with pytest.raises(Problem, match="store_unavailable"):
        await FileKeys(settings).find("x")


async def test_the_audit_log_is_read_backwards(tmp_path: Path) -> None:
    log = FileAudit(settings_in(tmp_path))
    assert await log.entries(AuditFilter()) == ()
    job = uuid4()
    one = AuditEntry(NOW, "key:1", "acme", "submit", job, "POST /v1/jobs", None, "r-1")
    two = replace(one, caller="token:ü\n", tenant="", job_id=None, code="queue_full")
    for entry in (one, two, one):
        await log.note(entry)
    assert await log.entries(AuditFilter()) == (one, two, one)
    assert await log.entries(AuditFilter(limit=2)) == (one, two)
    assert await log.entries(AuditFilter(job_id=job)) == (one, one)
    assert await log.entries(AuditFilter(caller="token:ü\n")) == (two,)
    assert await log.entries(AuditFilter(tenant="acme", limit=1)) == (one,)


async def test_a_truncated_line_does_not_lose_other_lines(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    log, path = FileAudit(settings), settings.maskwright_home / "access" / "audit.jsonl"
    one = AuditEntry(NOW, "key:1", "acme", "submit", None, "POST /v1/jobs", None, "r-1")
    two = replace(one, caller="key:2")
    await log.note(one)
    path.write_bytes(path.read_bytes() + b'{"at":"2026-01')
    await log.note(two)
    assert await log.entries(AuditFilter()) == (two, one)


async def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    folder = settings.maskwright_home / "access"
    folder.mkdir(parents=True)
    (folder / "audit.jsonl").symlink_to("/dev/full")
    one = AuditEntry(NOW, "key:1", "acme", "submit", None, "POST /v1/jobs", None, "r-1")
    with pytest.raises(Problem, match="store_unavailable"):
        await FileAudit(settings).note(one)


async def test_keys_that_cannot_be_kept_are_not_made(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.maskwright_home.write_text("a file")
    key, _ = new_key("key", "", ["operate"], NOW, NOW)
    with pytest.raises(Problem, match="store_unavailable"):
        await FileKeys(settings).add(key)
