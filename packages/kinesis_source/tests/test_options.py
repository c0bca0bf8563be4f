from pathlib import Path
from typing import Any

import pytest
from kinesis_source.errors import OptionError
from kinesis_source.options import InitialPosition, Options, parse_options


def test_defaults_are_databricks_where_it_matters() -> None:
    options = parse_options({"streamName": "s"})
    assert options == Options("s")
    assert options.initial_position == InitialPosition("latest")
    assert options.fail_on_data_loss
    assert options.stream_request == {"StreamName": "s"}


def test_all() -> None:
    given = {
        "STREAMARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
        "region": "eu-west-1",
        "endpoint": "http://localhost:4566",
        "initialposition": "TRIM_HORIZON",
        "consumerMode": "polling",
        "maxRecordsPerFetch": "5000",
        "minFetchPeriod": "400ms",
        "fetchBufferSize": "2gb",
        "shardsPerTask": "3",
        "shardFetchInterval": "2m",
        "maxShardsPerDescribe": "100",
        "maxFetchRate": "1.0",
        "awsAccessKey": "a",
        "awsSecretKey": "b",
        "roleArn": "arn:aws:iam::1:role/r",
        "roleExternalId": "e",
        "roleSessionName": "n",
        "stsEndpoint": "http://sts",
        "failOnDataLoss": "false",
        "maxRecordsPerTrigger": "100",
        "spoolDir": "/tmp/spool",
        "retryDeadline": "10m",
    }
    assert parse_options(given) == Options(
        stream="arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
        region="eu-west-1",
        endpoint="http://localhost:4566",
        initial_position=InitialPosition("trim_horizon"),
        max_records_per_fetch=5000,
        poll_interval_s=0.4,
        fetch_buffer_bytes=2 << 30,
        shards_per_task=3,
        shard_fetch_interval_s=120,
        max_shards_per_describe=100,
        access_key="a",
        secret_key="b",
        role_arn="arn:aws:iam::1:role/r",
        role_external_id="e",
        role_session_name="n",
        sts_endpoint="http://sts",
        fail_on_data_loss=False,
        max_records_per_trigger=100,
        spool_dir=Path("/tmp/spool"),
        retry_deadline_s=600,
    )


def test_secrets_are_not_shown() -> None:
    shown = repr(parse_options({"streamName": "s", "awsAccessKey": "AKIA", "awsSecretKey": "hush"}))
    assert "AKIA" not in shown
    assert "hush" not in shown


def test_our_poll_interval_may_be_shorter_than_kinesis_allows() -> None:
    assert parse_options({"streamName": "s", "minFetchPeriod": "1s", "pollInterval": "0ms"}).poll_interval_s == 0


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"streamName": None}, "streamName"),
        ({"streamARN": "arn:aws:kinesis:eu-west-1:1:stream/x"}, "streamName"),  # beside the name
        ({"streamName": "a,b"}, "streamName"),
        ({"streamName": None, "streamARN": "clicks"}, "streamARN"),
        ({"streamNames": "s"}, "streamnames"),
        ({"region": " "}, "region"),
        ({"initialPosition": "oldest"}, "initialPosition"),
        ({"initialPosition": '{"at": 1}'}, "initialPosition"),
        ({"initialPosition": "true"}, "initialPosition"),
        ({"initialPosition": '{"at_timestamp": "yesterday"}'}, "initialPosition"),
        ({"initialPosition": '{"at_timestamp": -1}'}, "initialPosition"),
        ({"consumerMode": "efo"}, "consumerMode"),
        ({"consumerName": "me"}, "consumerName"),
        ({"serviceCredential": "c"}, "serviceCredential"),
        ({"maxRecordsPerFetch": "10001"}, "maxRecordsPerFetch"),
        ({"maxRecordsPerFetch": "0"}, "maxRecordsPerFetch"),
        ({"maxRecordsPerTrigger": "-5"}, "maxRecordsPerTrigger"),
        ({"minFetchPeriod": "100ms"}, "minFetchPeriod"),
        ({"pollInterval": "5"}, "pollInterval"),
        ({"fetchBufferSize": "0mb"}, "fetchBufferSize"),
        ({"fetchBufferSize": "lots"}, "fetchBufferSize"),
        ({"shardsPerTask": "2", "maxPartitions": "2"}, "maxPartitions"),
        ({"awsAccessKey": "a"}, "awsSecretKey"),
        ({"awsSecretKey": "a"}, "awsAccessKey"),
        ({"roleSessionName": "n"}, "roleSessionName"),
        ({"failOnDataLoss": "no"}, "failOnDataLoss"),
    ],
)
def test_a_wrong_option_is_named(given: dict[str, Any], named: str) -> None:
    options = {name: value for name, value in ({"streamName": "s"} | given).items() if value is not None}
    with pytest.raises(OptionError, match=f"option '{named}'") as caught:
        parse_options(options)
    assert caught.value.option == named


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ('{"at_timestamp": "06/25/2020 10:23:45 PDT", "format": "MM/dd/yyyy HH:mm:ss ZZZ"}', 1593105825000),
        ('{"at_timestamp": "06/25/2020 10:23:45 PDT"}', 1593105825000),
        ('{"at_timestamp": "2020-06-25T17:23:45.250Z"}', 1593105825250),
        ('{"at_timestamp": "2020-06-25T19:23:45+02:00"}', 1593105825000),
        ('{"at_timestamp": "2020-06-25 17:23:45"}', 1593105825000),
        ('{"at_timestamp": "25.06.2020 19:23 Europe/Berlin", "format": "dd.MM.yyyy HH:mm VV"}', 1593105780000),
        ('{"at_timestamp": "2020-06-25T10:23:45.250-0700", "format": "yyyy-MM-dd\'T\'HH:mm:ss.SSSZ"}', 1593105825250),
        ('{"at_timestamp": "2020", "format": "yyyy"}', 1577836800000),
        ('{"at_timestamp": 1593105825.25}', 1593105825250),
        ('{"at_timestamp": 1593105825250}', 1593105825250),
        ('{"at_timestamp": "1593105825"}', 1593105825000),
        ("1593105825", 1593105825000),
    ],
)
def test_times(text: str, expected_ms: int) -> None:
    position = parse_options({"streamName": "s", "initialPosition": text}).initial_position
    assert position == InitialPosition("at_timestamp", expected_ms)


@pytest.mark.parametrize(
    "text",
    [
        '{"at_timestamp": "06/25/2020 10:23:45 XYZ"}',
        '{"at_timestamp": "2020-06-25", "format": "MM/dd/yyyy"}',
        '{"at_timestamp": "2020-06-25", "format": "MM-dd"}',
        '{"at_timestamp": "2020 Q1", "format": "yyyy QQQ"}',
        '{"at_timestamp": "13/45/2020 10:23:45 PDT"}',
    ],
)
def test_times_that_mean_nothing(text: str) -> None:
    with pytest.raises(OptionError, match="option 'initialPosition'"):
        parse_options({"streamName": "s", "initialPosition": text})
