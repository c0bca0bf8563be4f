"""The life of one stream query over fakes, second by second."""

import math

from prometheus_client import CollectorRegistry
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy
from stream_reader.metrics import Metrics
from stream_reader.queries.fake_streams import FakeStreams, log_id
from stream_reader.queries.fakes import FakeLaunch
from stream_reader.queries.query import Limits, StreamQuery
from stream_reader.queries.rejects import RejectWindow

STREAM = "streaming-x-pin"
OLD, NEW = log_id(STREAM, 1.0), log_id(STREAM, 2.0)


class QueryBench:
    """One query over fakes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.rejects = RejectWindow(1_000, 0.5, self.clock)
        self.streams = FakeStreams(**{STREAM: 1.0})
        self.launch = FakeLaunch(self.clock)
        self.registry = CollectorRegistry()
        retries = RetryPolicy(math.inf, 1.0, 30.0, clock=self.clock, uniform=lambda _low, high: high)
        self.query = StreamQuery(
            "pin",
            stream=STREAM,
            streams=self.streams,
            launch=self.launch,
            rejects=self.rejects,
            retries=retries,
            limits=Limits(describe_interval_s=5, lag_limit_s=60, close_s=5),
            metrics=Metrics(self.registry),
        )

    def steps(self, seconds: float = 0.0) -> None:
        """Look after it now, and each second for a while."""
        self.query.step()
        for _ in range(round(seconds)):
            self.clock.sleep(1)
            self.query.step()
