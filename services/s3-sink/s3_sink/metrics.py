"""What the sink counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """Registered once per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"s3_sink_{name}", text, ["topic"], registry=registry)

        self.records = counter("records", "Records written to objects")
        self.bytes = counter("bytes", "Bytes of objects, compressed")
        self.objects = counter("objects", "Objects written")
        self.dead_letters = counter("dead_letters", "Records sent to the dead-letter topic")
        self.expired = counter("expired_records", "Offsets that expired in the log before they were archived")
        self.unreadable = counter("unreadable_records", "Offsets of batches that the Kafka client cannot read")
        self.epoch_changes = counter("epoch_changes", "Topics met under another log id")
        self.replaced = counter("replaced", "Partitions sent back to a hole, because objects had gone")
        self.other_writers = counter("other_writers", "Windows that another sink had stored first")
        self.foreign = Gauge(
            "s3_sink_foreign_objects", "Objects that no sink has written", ["topic"], registry=registry
        )
        self.lag = Gauge("s3_sink_lag_records", "Offsets not archived yet", ["topic", "partition"], registry=registry)
        self.oldest = Gauge(
            "s3_sink_oldest_unarchived_seconds",
            "Seconds since Kafka appended the first record that is in no object",
            ["topic"],
            registry=registry,
        )
        self.buffered = Gauge("s3_sink_buffered_bytes", "Bytes read and not archived yet", registry=registry)
