"""Sums of the processes' reports in PostgreSQL."""

import json
from typing import cast

from gateway.metrics.totals import Labels, Report, Series, Totals, Values, Whole
from gateway.postgres.connection import Connection
from gateway.postgres.pool import Pool

_LIVE_S = 30.0
_KEPT_S = 86_400.0
"""A report is repeated for as long as its process lives; one that is silent for a day does not."""

# Rows are locked in their order, so that no two reports wait for each other.
_ADD = """
WITH gone AS (
    DELETE FROM maskwright.metric_processes WHERE seen_at < now() - $6 * interval '1 second' AND process <> $1
), known AS (
    INSERT INTO maskwright.metric_processes AS known (process, report, gauges, seen_at) VALUES ($1, $2, $3::json, now())
    ON CONFLICT (process) DO UPDATE SET report = excluded.report, gauges = excluded.gauges, seen_at = excluded.seen_at
    WHERE known.report < excluded.report
    RETURNING process
)
INSERT INTO maskwright.metric_totals AS total (name, labels, value)
SELECT name, labels, value FROM unnest($4::text[], $5::text[], $7::double precision[]) AS more(name, labels, value)
WHERE EXISTS (SELECT FROM known)
ORDER BY name, labels
ON CONFLICT (name, labels) DO UPDATE SET value = total.value + excluded.value
"""
_TOTALS = "SELECT name, labels, value FROM maskwright.metric_totals"
_GAUGES = "SELECT process, gauges FROM maskwright.metric_processes WHERE seen_at > now() - $1 * interval '1 second'"


class PostgresTotals(Totals):
    """Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, report: Report) -> None:
        """Count a report; nothing for one that was counted before."""
        names, labels, values = _columns(report.increments)
        gauges = json.dumps(list(zip(*_columns(report.gauges), strict=True)))
        arguments = (report.process, report.number, gauges, names, labels, _KEPT_S, values)
        await self._pool.run(lambda connection: connection.execute(_ADD, *arguments))

    async def read(self) -> Whole:
        """Everything so far."""
        return await self._pool.run(_read)


async def _read(connection: Connection) -> Whole:
    totals = {
        _series(str(row["name"]), str(row["labels"])): cast("float", row["value"])
        for row in await connection.fetch(_TOTALS)
    }
    gauges = {str(row["process"]): _gauges(str(row["gauges"])) for row in await connection.fetch(_GAUGES, _LIVE_S)}
    return Whole(totals, gauges)


def _columns(values: Values) -> tuple[list[str], list[str], list[float]]:
    names = [name for name, _ in values]
    return names, [json.dumps(dict(labels)) for _, labels in values], list(values.values())


def _gauges(text: str) -> Values:
    return {_series(name, labels): value for name, labels, value in json.loads(text)}


def _series(name: str, labels: str) -> Series:
    pairs: Labels = tuple(json.loads(labels).items())
    return name, pairs
