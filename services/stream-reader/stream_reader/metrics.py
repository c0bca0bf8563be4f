"""What the reader counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 20, 60, 300)


class Metrics:
    """Registered once per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def name(text: str) -> str:
            return f"stream_reader_{text}"

        kind = ["kind"]
        self.records = Counter(name("records"), "Records read, rejected ones too", kind, registry=registry)
        self.rejected = Counter(
            name("rejected_records"), "Records put into quarantine", ["kind", "reason"], registry=registry
        )
        self.rejected_share = Gauge(
            name("rejected_share"), "Share of the last records that was put into quarantine", kind, registry=registry
        )
        self.batch_seconds = Histogram(
            name("batch_seconds"), "Duration of a batch", kind, registry=registry, buckets=_SECONDS
        )
        self.lag_ms = Gauge(
            name("lag_milliseconds"), "Age of the oldest record of the last batch when it was stored; 0: nothing waits",
            kind, registry=registry,
        )  # fmt: skip
        self.lag_records = Gauge(name("lag_records"), "Records fetched and not stored yet", kind, registry=registry)
        self.state = Gauge(
            name("query_state"), "1 for the state that the query is in", ["kind", "state"], registry=registry
        )
        self.restarts = Counter(name("query_restarts"), "Failures, each followed by a restart", kind, registry=registry)
        self.replaced = Counter(name("streams_replaced"), "Streams met under another log id", kind, registry=registry)
        self.popularity_seconds = Histogram(
            name("popularity_seconds"), "Duration of one computation of touched profiles", registry=registry,
            buckets=_SECONDS,
        )  # fmt: skip
        self.popularity_age = Gauge(
            name("popularity_age_seconds"), "How long the oldest committed row waits to be counted", registry=registry
        )
        self.profiles = Gauge(name("profiles"), "Profiles that can be asked for", registry=registry)
        self.profiles_commit_seconds = Histogram(
            name("profiles_commit_seconds"), "Duration of a commit to stream/profile_popularity", registry=registry,
            buckets=_SECONDS,
        )  # fmt: skip
        self.table_latency = Histogram(
            name("table_latency_seconds"), "From a record's arrival to its row", registry=registry, buckets=_SECONDS
        )
        self.popularity_latency = Histogram(
            name("popularity_latency_seconds"), "From a record's arrival to the popularity answer", registry=registry,
            buckets=_SECONDS,
        )  # fmt: skip
        self.upkeep_seconds = Histogram(
            name("upkeep_seconds"), "Duration of upkeep of one table", ["table"], registry=registry, buckets=_SECONDS
        )
