"""What a task on AWS cannot ask itself, from CloudWatch: one ``GetMetricData`` a minute, and only while somebody looks.

Metrics and dimensions are those of ``deploy/aws/templates/alarms.yaml``; two more say how much flows. A metric without
a value in the last minutes is no fault: most are told only where something happens.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pipeline_contracts.names import KINDS, Names
from service_kit.clock import Clock

from dashboard.background import Attention
from dashboard.live.looks import CheckLine, Look, NoAnswerError, Source
from dashboard.settings import Settings

logger = logging.getLogger(__name__)

ASKED_EVERY_S: Final = 60.0
_MINUTE_S: Final = 60
_SETTLES: Final = timedelta(minutes=2)
"""CloudWatch tells a minute's values that late; the newest minute is not whole."""
_WINDOW: Final = timedelta(minutes=10)
_SLOW_S: Final = 600.0
"""Behind for longer is a fault: as in the alarms."""
_ERRORS: Final = 0.01
"""Share of the gateway's requests that may fail: as in the alarms."""

_CLIENT: Final = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1})

Statistic = Literal["Sum", "Maximum", "Minimum", "Average"]


@dataclass(frozen=True)
class Metric:
    """One metric by its dimensions."""

    namespace: str
    name: str
    statistic: Statistic
    dimensions: tuple[tuple[str, str], ...]

    def query(self, identifier: str) -> dict[str, Any]:
        """As ``GetMetricData`` takes it."""
        dimensions = [{"Name": name, "Value": value} for name, value in self.dimensions]
        metric = {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": dimensions}
        return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": _MINUTE_S, "Stat": self.statistic}}


def metrics(names: Names, stage: str) -> dict[str, list[Metric]]:
    """All that is asked for, by what it is called below; of several metrics the values are put together."""
    pipeline = names.pipeline_id

    def of_gateway(name: str, statistic: Statistic) -> list[Metric]:
        return [Metric("AWS/ApiGateway", name, statistic, (("ApiName", pipeline), ("Stage", stage)))]

    def of_streams(name: str, statistic: Statistic) -> list[Metric]:
        return [Metric("AWS/Kinesis", name, statistic, (("StreamName", names.stream(kind)),)) for kind in KINDS]

    def of_tasks(service: str) -> list[Metric]:
        found = (("ClusterName", pipeline), ("ServiceName", service))
        return [Metric("ECS/ContainerInsights", "RunningTaskCount", "Minimum", found)]

    def of_connector(name: str, statistic: Statistic) -> list[Metric]:
        return [Metric("AWS/KafkaConnect", name, statistic, (("ConnectorName", f"{pipeline}-s3-sink"),))]

    group = ("Consumer Group", f"connect-{pipeline}-s3-sink")
    return {
        "gateway errors": of_gateway("5XXError", "Average"),
        "proxy tasks": of_tasks("proxy"),
        "popularity tasks": of_tasks("popularity"),
        "offline partitions": [
            Metric("AWS/Kafka", "OfflinePartitionsCount", "Sum", (("Cluster Name", pipeline),)),
        ],
        "sink lag": [
            Metric(
                "AWS/Kafka",
                "EstimatedMaxTimeLag",
                "Maximum",
                (("Cluster Name", pipeline), group, ("Topic", names.topic(kind))),
            )
            for kind in KINDS
        ],
        "sink tasks": of_connector("RunningTaskCount", "Minimum"),
        "sink failures": of_connector("ErroredTaskCount", "Maximum"),
        "stream age": of_streams("GetRecords.IteratorAgeMilliseconds", "Maximum"),
        "stream full": of_streams("WriteProvisionedThroughputExceeded", "Sum"),
        "streamed in": of_streams("IncomingRecords", "Sum"),
        "streamed out": of_streams("GetRecords.Records", "Sum"),
        "scheduler": [
            Metric(
                "AmazonMWAA",
                "SchedulerHeartbeat",
                "Sum",
                (("Function", "Scheduler"), ("Environment", pipeline)),
            )
        ],
    }


Values = Mapping[str, float]
"""The newest value of each name of ``metrics`` that has one: sums added, all else the greatest."""


class Client(Protocol):
    """What is used of boto3's client."""

    def get_metric_data(
        self,
        *,
        MetricDataQueries: Sequence[Any],  # noqa: N803  # boto3's names
        StartTime: datetime,  # noqa: N803
        EndTime: datetime,  # noqa: N803
        ScanBy: Literal["TimestampDescending", "TimestampAscending"],  # noqa: N803
    ) -> Any:
        """The values of all queries; raises ``BotoCoreError`` or ``ClientError``."""


class CloudWatch:
    """Asks for all metrics at once, for all services together. Safe to use from any thread.

    ``watched`` says whether somebody looks: nothing is asked while nobody does, but for the first time.
    """

    def __init__(self, client: Client, names: Names, stage: str, watched: Callable[[], bool], clock: Clock) -> None:
        self._client = client
        self._wanted = metrics(names, stage)
        self._watched = watched
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._values: Values | None = None
        self._why = ""

    def values(self) -> Values:
        """The newest ones; asks for them where the last are a minute old, and blocks for some seconds at most then.

        Raises:
            NoAnswerError: CloudWatch did not answer.
        """
        with self._lock:
            now = self._clock.monotonic()
            first = self._asked_at is None
            if first or (self._watched() and now - (self._asked_at or 0.0) >= ASKED_EVERY_S):
                self._asked_at = now
                self._ask(self._clock.now())
            if self._values is None:
                raise NoAnswerError(self._why)
            return self._values

    def _ask(self, now: datetime) -> None:
        named = [(name, metric) for name, listed in self._wanted.items() for metric in listed]
        queries = [metric.query(f"m{number}") for number, (_, metric) in enumerate(named)]
        end = (now - _SETTLES).replace(second=0, microsecond=0)
        found: dict[str, list[float]] = {}
        try:
            answer = self._client.get_metric_data(
                MetricDataQueries=queries, StartTime=end - _WINDOW, EndTime=end, ScanBy="TimestampDescending"
            )
        except (BotoCoreError, ClientError) as error:
            self._values, self._why = None, f"CloudWatch does not answer: {error}"
            return
        for result in answer["MetricDataResults"]:
            name, metric = named[int(result["Id"][1:])]
            if result["Values"]:
                found.setdefault(name, []).append(_newest(metric, result["Timestamps"], result["Values"], end))
        together = {name: max if self._wanted[name][0].statistic != "Sum" else sum for name in found}
        self._values = {name: float(together[name](values)) for name, values in found.items()}


def _newest(metric: Metric, times: list[datetime], values: list[float], end: datetime) -> float:
    """The newest value; of a sum, that of the last whole minute, in which nothing may have come."""
    if metric.statistic != "Sum":
        return values[0]
    return values[0] if times[0] >= end - timedelta(seconds=_MINUTE_S) else 0.0


@dataclass
class Flow:
    """A counter, of which CloudWatch tells what came in the last whole minute: it grows as fast as that."""

    total: float = 0.0
    at: float | None = field(default=None)

    def grown(self, per_minute: float, now: float) -> float:
        """Its value now."""
        if self.at is not None:
            self.total += per_minute / _MINUTE_S * (now - self.at)
        self.at = now
        return self.total


@dataclass(frozen=True)
class Rule:
    """A check: ``name`` as ``/readyz`` of the service would call it, and what is wrong with a value, else nothing.

    ``always_told``: that there is no value is wrong, too, as in its alarm (``TreatMissingData: breaching``).
    """

    name: str
    metric: str
    wrong: Callable[[float], str]
    always_told: bool = False

    def check(self, values: Values) -> CheckLine:
        """By the newest values."""
        if self.metric in values:
            wrong = self.wrong(values[self.metric])
        else:
            wrong = "CloudWatch has no value of the last ten minutes" if self.always_told else ""
        return CheckLine(self.name, ok=not wrong, detail=wrong or "ok")


def _none_runs(tasks: float) -> str:
    return "" if tasks >= 1 else "no task runs"


RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "localstack": (
        Rule("apigateway", "gateway errors", lambda share: f"{share:.0%} of requests fail" if share > _ERRORS else ""),
        Rule("kinesis", "stream full", lambda count: f"{count:.0f} records refused: too few shards" if count else ""),
    ),
    "proxy": (Rule("tasks", "proxy tasks", _none_runs, always_told=True),),
    "kafka": (Rule("partitions", "offline partitions", lambda count: f"{count:.0f} have no leader" if count else ""),),
    "s3-sink": (
        Rule("tasks", "sink tasks", _none_runs, always_told=True),
        Rule("failures", "sink failures", lambda count: f"{count:.0f} tasks have failed" if count else ""),
        Rule("lag", "sink lag", lambda seconds: f"{seconds:.0f} s behind" if seconds > _SLOW_S else ""),
    ),
    "stream-reader": (
        Rule("query", "stream age", lambda ms: f"{ms / 1000:.0f} s behind" if ms / 1000 > _SLOW_S else ""),
        Rule("popularity", "popularity tasks", _none_runs, always_told=True),
    ),
    "airflow": (
        Rule("scheduler", "scheduler", lambda beats: "" if beats else "it has no heartbeat", always_told=True),
    ),
}
"""By the service that stands on the same place on a laptop. The analyser's jobs are Databricks': not measured here."""


class OnCloudWatch:
    """One service, as ``looks.Source``."""

    def __init__(self, service: str, cloudwatch: CloudWatch, clock: Clock) -> None:
        self._rules = RULES[service]
        self._service = service
        self._cloudwatch = cloudwatch
        self._clock = clock
        self._flow = Flow()

    def look(self) -> Look:
        """Its checks and numbers as of the last whole minutes.

        Raises:
            NoAnswerError: CloudWatch does not answer.
        """
        values = self._cloudwatch.values()
        return Look(tuple(rule.check(values) for rule in self._rules), self._numbers(values))

    def _numbers(self, values: Values) -> dict[str, float]:
        if self._service == "s3-sink" and "sink lag" in values:
            return {"lag_s": values["sink lag"]}
        if self._service == "localstack":
            return {"streamed": self._flow.grown(values.get("streamed in", 0.0), self._clock.monotonic())}
        if self._service != "stream-reader":
            return {}
        numbers = {"records": self._flow.grown(values.get("streamed out", 0.0), self._clock.monotonic())}
        return numbers | ({"lag_s": values["stream age"] / 1000} if "stream age" in values else {})


def on_cloudwatch(settings: Settings, attention: Attention, clock: Clock) -> dict[str, Source]:
    """Every service that CloudWatch tells of; none without ``DASHBOARD_CLOUDWATCH_STAGE``."""
    if settings.cloudwatch_stage is None:
        return {}
    import boto3  # noqa: PLC0415  # 30 MiB, of which a laptop has no use

    client: Client = boto3.client("cloudwatch", region_name=settings.aws_region, config=_CLIENT)
    asked = CloudWatch(client, settings.names, settings.cloudwatch_stage, lambda: attention.watched, clock)
    return sources(asked, clock)


def sources(cloudwatch: CloudWatch, clock: Clock) -> dict[str, Source]:
    """Every service that CloudWatch tells of."""
    return {service: OnCloudWatch(service, cloudwatch, clock) for service in RULES}
