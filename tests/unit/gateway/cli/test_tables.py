from datetime import UTC, datetime, timedelta

import pytest

from gateway.cli.jobs import age, print_job, print_jobs
from gateway.jobs.view import COMPLETED, QUEUED


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59, "59 s"), (3_599, "59 min"), (7_201, "2 h"), (90_000, "1 d")]
)
def test_an_age_is_shown_in_its_largest_unit(seconds: int, shown: str) -> None:
    created = datetime.now(UTC) - timedelta(seconds=seconds + 0.5)
    assert age(created.isoformat().replace("+00:00", "Z")) == shown


def test_all_facts_of_a_job_are_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_job(COMPLETED)
    shown = capsys.readouterr().out
    artifact, callback = "masks/123/req-123-001/upper_body_mask.png", "https://example.com/masks"
    assert all(text in shown for text in (str(COMPLETED["id"]), "2025-11-26T12:00:00", artifact, callback))


def test_text_from_callers_is_escaped_in_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    named = {**QUEUED, "user_id": "[red]x[/red]", "request_id": "[/b]"}
    print_jobs([named])
    print_job(named)
    assert capsys.readouterr().out.count("[red]x[/red]") == 2
