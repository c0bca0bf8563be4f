"""What CloudWatch tells of the services: asked seldom, all at once, for the metrics that the alarms watch."""

import json
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_deploy.render import parse
from botocore.stub import ANY, Stubber
from dashboard.live.cloudwatch import ASKED_EVERY_S, RULES, CloudWatch, OnCloudWatch, metrics, sources
from dashboard.live.looks import NoAnswerError
from pipeline_contracts.names import Names
from service_kit.clock import ManualClock

NAMES = Names("pinterest")
START = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)
TEMPLATE = Path(__file__).parents[3] / "deploy" / "aws" / "templates" / "alarms.yaml"
ALARMS = parse(TEMPLATE.read_text(encoding="utf-8"))["Resources"]
FLOWS = {"IncomingRecords", "GetRecords.Records"}
"""What no alarm watches: how much comes is no fault."""


def plain(value: Any) -> str:
    """Of a dimension in the template, with this pipeline's id."""
    match value:
        case {"Ref": "PipelineId"} | {"Fn::ImportValue": _}:
            return "pinterest"
        case {"Ref": "Stage"}:
            return "dev"
        case {"Fn::If": [_, _, other]}:
            return plain(other)
        case {"Fn::Sub": text}:
            return str(text).replace("${PipelineId}", "pinterest")
    return str(value)


def alarms() -> dict[tuple[str, str, frozenset[tuple[str, str]]], dict[str, Any]]:
    found = {}
    for resource in ALARMS.values():
        watched = resource["Properties"]
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "MetricName" in watched:
            dimensions = frozenset((one["Name"], plain(one["Value"])) for one in watched["Dimensions"])
            found[watched["Namespace"], watched["MetricName"], dimensions] = watched
    return found


def test_what_is_asked_is_what_the_alarms_watch() -> None:
    watched = alarms()
    missing_is_bad = {rule.metric for rules in RULES.values() for rule in rules if rule.always_told}
    for name, listed in metrics(NAMES, "dev").items():
        for metric in listed:
            if metric.name in FLOWS:
                continue
            alarm = watched[metric.namespace, metric.name, frozenset(metric.dimensions)]
            assert alarm["Statistic"] == metric.statistic, name
            if name in {rule.metric for rules in RULES.values() for rule in rules}:
                assert (alarm["TreatMissingData"] == "breaching") is (name in missing_is_bad), name


class Bench:
    """CloudWatch with stubbed answers, and a person who looks or does not."""

    def __init__(self) -> None:
        self.client = boto3.client("cloudwatch", region_name="us-east-1")
        self.stub = Stubber(self.client)
        self.stub.activate()
        self.clock = ManualClock(START)
        self.watched = True
        self.cloudwatch = CloudWatch(self.client, NAMES, "dev", lambda: self.watched, self.clock)
        self.names = [name for name, listed in metrics(NAMES, "dev").items() for _ in listed]

    def answers(self, newest: timedelta = timedelta(minutes=1), **values: Any) -> None:
        """The next answer: of metrics of several dimensions a value each."""
        end = datetime(2026, 5, 1, 11, 58, tzinfo=UTC) + timedelta(seconds=self.clock.monotonic() // 60 * 60)
        given = {name.replace("_", " "): list(v) if isinstance(v, list) else [v] for name, v in values.items()}
        results = []
        for number, name in enumerate(self.names):
            mine = given.get(name, [])
            value = [mine.pop(0)] if mine else []
            results.append({"Id": f"m{number}", "Timestamps": [end - newest] * len(value), "Values": value})
        asked = {"MetricDataQueries": ANY, "StartTime": end - timedelta(minutes=10), "EndTime": end, "ScanBy": ANY}
        self.stub.add_response("get_metric_data", {"MetricDataResults": results}, asked)

    def of(self, service: str) -> OnCloudWatch:
        return OnCloudWatch(service, self.cloudwatch, self.clock)


ALL_WELL: dict[str, Any] = {"proxy_tasks": 1.0, "popularity_tasks": 1.0, "sink_tasks": 3.0, "scheduler": 60.0}


def test_one_question_a_minute_serves_all_and_none_is_asked_while_nobody_looks() -> None:
    bench = Bench()
    bench.watched = False
    bench.answers(**ALL_WELL)
    looked = sources(bench.cloudwatch, bench.clock)
    for _ in range(3):
        for source in looked.values():
            assert source.look().failing() is None
    bench.stub.assert_no_pending_responses()
    bench.clock.sleep(10 * ASKED_EVERY_S)
    looked["proxy"].look()
    bench.watched = True
    bench.answers(**(ALL_WELL | {"proxy_tasks": 0.0}))
    failing = looked["proxy"].look().failing()
    assert failing is not None
    assert failing.detail == "no task runs"
    bench.stub.assert_no_pending_responses()
    bench.clock.sleep(ASKED_EVERY_S - 1)
    looked["kafka"].look()


@pytest.mark.parametrize(
    ("service", "values", "failing"),
    [
        ("localstack", {"gateway_errors": 0.01}, None),
        ("localstack", {"gateway_errors": 0.5}, ("apigateway", "50% of requests fail")),
        ("localstack", {"stream_full": [0.0, 2.0, 3.0]}, ("kinesis", "5 records refused: too few shards")),
        ("kafka", {}, None),
        ("kafka", {"offline_partitions": 2.0}, ("partitions", "2 have no leader")),
        ("proxy", {}, ("tasks", "CloudWatch has no value of the last ten minutes")),
        ("s3-sink", {"sink_tasks": 3.0, "sink_failures": 1.0}, ("failures", "1 tasks have failed")),
        ("s3-sink", {"sink_tasks": 3.0, "sink_lag": [1.0, 900.0]}, ("lag", "900 s behind")),
        ("stream-reader", {"stream_age": [700_000.0], "popularity_tasks": 1.0}, ("query", "700 s behind")),
        ("airflow", {"scheduler": 0.0}, ("scheduler", "it has no heartbeat")),
    ],
)
def test_what_is_wrong_is_named(service: str, values: dict[str, Any], failing: tuple[str, str] | None) -> None:
    bench = Bench()
    bench.answers(**values)
    found = bench.of(service).look().failing()
    assert (None if found is None else (found.name, found.detail)) == failing


def test_numbers_are_in_seconds_and_a_counter_grows_as_fast_as_the_last_minute_told() -> None:
    bench = Bench()
    came, went = [60.0, 120.0, 240.0], [60.0, 120.0, 180.0]
    bench.answers(sink_lag=[4.0, 9.0, 2.0], stream_age=[1500.0], streamed_in=came, streamed_out=went)
    streams = bench.of("localstack")
    assert streams.look().numbers == {"streamed": 0.0}
    sink, reader = bench.of("s3-sink"), bench.of("stream-reader")
    assert sink.look().numbers == {"lag_s": 9.0}
    assert reader.look().numbers == {"records": 0.0, "lag_s": 1.5}
    bench.clock.sleep(10)
    assert reader.look().numbers == {"records": 60.0, "lag_s": 1.5}
    assert streams.look().numbers == {"streamed": 70.0}


def test_a_flow_that_ended_minutes_ago_flows_no_more() -> None:
    bench = Bench()
    bench.answers(timedelta(minutes=5), streamed_out=[600.0], stream_age=[0.0])
    reader = bench.of("stream-reader")
    reader.look()
    bench.clock.sleep(10)
    assert reader.look().numbers == {"records": 0.0, "lag_s": 0.0}


def test_where_cloudwatch_does_not_answer_it_is_said_and_asked_again_later() -> None:
    bench = Bench()
    bench.stub.add_client_error("get_metric_data", "AccessDenied", "not for you")
    for _ in range(2):
        with pytest.raises(NoAnswerError, match="AccessDenied"):
            bench.of("kafka").look()
    bench.clock.sleep(ASKED_EVERY_S)
    bench.answers()
    assert bench.of("kafka").look().failing() is None


def test_one_question_holds_all() -> None:
    """``GetMetricData`` takes 500 queries, each with an id of its own that begins with a small letter."""
    asked = [metric.query(f"m{number}") for number, metric in enumerate(chain(*metrics(NAMES, "dev").values()))]
    assert len(asked) < 100
    assert len({json.dumps(query["MetricStat"], sort_keys=True) for query in asked}) == len(asked)
