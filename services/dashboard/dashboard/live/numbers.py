"""The few numbers that are kept of a service's Prometheus text."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Taken:
    """One number: of all samples of ``metric``, the sum or the greatest.

    A counter's labels appear with its first event, so a service that names none has counted 0. A gauge that is not
    there is not known.
    """

    metric: str
    how: Literal["sum", "greatest"] = "sum"
    counts: bool = True
    factor: float = 1.0


_MOST: Final = 1e18
"""About as far as services count."""


def _gauge(metric: str, how: Literal["sum", "greatest"], factor: float = 1.0) -> Taken:
    return Taken(metric, how, counts=False, factor=factor)


PROXY: Final = {"records": Taken("proxy_records_stored_total")}
S3_SINK: Final = {
    "records": Taken("s3_sink_records_total"),
    "objects": Taken("s3_sink_objects_total"),
    "waiting": _gauge("s3_sink_lag_records", "sum"),
    "lag_s": _gauge("s3_sink_oldest_unarchived_seconds", "greatest"),
}
ANALYSER: Final = {"runs_waiting": _gauge("analyser_runs_waiting", "sum")}
LOCALSTACK: Final = {"streamed": Taken("localstack_kinesis_records_total")}
STREAM_READER: Final = {
    "records": Taken("stream_reader_records_total"),
    "lag_s": _gauge("stream_reader_lag_milliseconds", "greatest", 0.001),
    "popularity_lag_s": _gauge("stream_reader_popularity_age_seconds", "greatest"),
    "profiles": _gauge("stream_reader_profiles", "sum"),
}


def taken(text: str, wanted: Mapping[str, Taken]) -> dict[str, float]:
    """Those numbers of a Prometheus text that are ``wanted``. Samples of gauges that are not finite are left out, and
    so are counters with such a sample, and what is beyond ``_MOST``.

    Raises:
        ValueError: it is no such text.
    """
    found: dict[str, list[float]] = {}
    by_metric: dict[str, list[tuple[str, Taken]]] = {}
    for name, one in wanted.items():
        by_metric.setdefault(one.metric, []).append((name, one))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for name, one in by_metric.get(sample.name, ()):
                if one.counts or math.isfinite(sample.value):
                    found.setdefault(name, []).append(sample.value * one.factor)
    numbers = {name: 0.0 for name, one in wanted.items() if one.counts}
    numbers |= {name: _together(wanted[name], values) for name, values in found.items()}
    return {name: number for name, number in numbers.items() if abs(number) <= _MOST}


def _together(one: Taken, values: Iterable[float]) -> float:
    return sum(values) if one.how == "sum" else max(values)
