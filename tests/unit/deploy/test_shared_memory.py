import os
import re
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded import StackError, hardware
from gateway.settings import Settings
from tests.stack import CHECKOUT

MIB = 1024 * 1024


def _settings(cores: int, **values: object) -> Settings:
    """As with these variables set, on a machine of so many cores."""
    with patch.object(os, "cpu_count", return_value=cores):
        return Settings(**values)


def test_enough_shared_memory_changes_no_limit() -> None:
    settings = _settings(4)
    assert hardware.fitted(settings, 10_000 * MIB) is settings


def test_phone_photos_fit_into_a_containers_64_mb_of_shared_memory() -> None:
    given_settings = _settings(2)
    used = hardware.fitted(given_settings, 64 * MIB)
    assert (used.triton_instances, used.max_body_bytes > 6_000_000, used.max_pixels > 18_000_000) == (1, True, True)
    assert hardware.lowered(given_settings, used).keys() == {"TRITON_INSTANCES", "MAX_BODY_BYTES", "MAX_PIXELS"}


@given(st.integers(1, 64), st.integers(0, 8_000).map(lambda size: size * MIB))
def test_lowered_limits_fit_and_are_at_least_an_eighth(cores: int, free: int) -> None:
    settings = _settings(cores)
    try:
        used = hardware.fitted(settings, free)
    except StackError:
        assert free < 43 * MIB
        return
    assert hardware.needed(used) <= free
    assert 1 <= used.triton_instances <= cores
    assert settings.max_pixels // 8 <= used.max_pixels <= settings.max_pixels
    assert settings.max_body_bytes // 8 <= used.max_body_bytes <= settings.max_body_bytes


def test_limits_that_were_set_are_not_lowered() -> None:
    used = hardware.fitted(_settings(8, max_body_bytes=5_000_000, max_pixels=12_000_000), 64 * MIB)
    assert (used.triton_instances, used.max_body_bytes, used.max_pixels) == (1, 5_000_000, 12_000_000)
    used = hardware.fitted(_settings(8, triton_instances=2), 120 * MIB)
    assert used.triton_instances == 2


@pytest.mark.parametrize("values", [{"max_pixels": 100_000_000}, {"triton_instances": 8}])
def test_limits_that_were_set_and_do_not_fit_are_refused_with_what_would_fit(values: dict[str, int]) -> None:
    with pytest.raises(
        StackError, match=r"has 67 MB free; .*TRITON_INSTANCES=.* need .* MB: lower them, or .*--shm-size"
    ):
        hardware.fitted(_settings(8, **values), 64 * MIB)


def test_preflight_and_the_stack_need_the_same_shared_memory() -> None:
    script = (CHECKOUT / "deploy" / "machine" / "preflight.sh").read_text()
    (least,) = re.findall(r"^SHM_MB=(\d+)", script, re.MULTILINE)
    hardware.fitted(_settings(8), int(least) * MIB)
    with pytest.raises(StackError):
        hardware.fitted(_settings(8), (int(least) - 3) * MIB)


def test_regions_of_other_users_are_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "SHARED_MEMORY", tmp_path)
    settings = _settings(1)
    names = [hardware.region_prefix(settings) + name for name in ("own", "folder", "link", "other")]
    own, folder, link, other = (tmp_path / name for name in names)
    own.write_bytes(b"x" * MIB)
    folder.mkdir()
    link.symlink_to("nowhere")
    assert list(hardware.regions(settings)) == [own]
    if os.geteuid() == 0:
        other.touch()
        os.chown(other, 65534, -1)
        assert list(hardware.regions(settings)) == [own]


def test_missing_shared_memory_is_an_error_with_the_folders_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "SHARED_MEMORY", tmp_path / "nowhere")
    with pytest.raises(StackError, match="mount a tmpfs there"):
        hardware.fitted_to_machine(_settings(1))
