"""Sums and gauges, as families of samples."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from gateway.metrics.totals import Labels, Series, Values, Whole

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
_BOUND = "le"
"""The label of a histogram's bucket."""


@dataclass(frozen=True)
class _Families(Collector):
    """Families that are known already, in the shape that is written out."""

    families: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def written(families: Iterable[Metric]) -> bytes:
    """In Prometheus's text format."""
    return generate_latest(_Families(families))


def everybody(registry: CollectorRegistry, whole: Whole) -> Iterator[Metric]:
    """The registry's families with the sums of all processes."""
    for family in registry.collect():
        yield _filled(family, whole.totals, ())


def each_process(registry: CollectorRegistry, whole: Whole) -> Iterator[Metric]:
    """The registry's families with the values of each living process."""
    for family in registry.collect():
        filled = _filled(family, {}, ())
        for process, values in sorted(whole.gauges.items()):
            filled.samples.extend(_filled(family, values, (("process", process),)).samples)
        yield filled


def _filled(family: Metric, values: Values, beside: Labels) -> Metric:
    """The family with those of the values that are its own, and labels beside theirs."""
    filled = Metric(family.name, family.documentation, family.type)
    names = {family.name + suffix for suffix in _SUFFIXES[family.type]}
    for (name, labels), value in sorted(values.items(), key=_place):
        if name in names:
            filled.add_sample(name, dict((*labels, *beside)), value)
    return filled


def _place(item: tuple[Series, float]) -> tuple[Labels, float, str]:
    """Series by series, the buckets of each by their bounds."""
    (name, labels), _ = item
    bound = float(dict(labels).get(_BOUND, "inf"))
    return tuple(label for label in labels if label[0] != _BOUND), bound, name
