"""The options of ``format("kinesis")``: Databricks' names and meanings, and some of our own."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kinesis_source.errors import OptionError
from kinesis_source.timestamps import epoch_ms

_NO_EFFECT = ("maxFetchRate", "maxFetchDuration", "coalesceThresholdBlockSize", "coalesceBinSize")
"""Databricks' tuning of its own prefetcher. Taken, so that a reader's code is the same there; nothing here obeys."""

_FAN_OUT = (
    "consumerName", "consumerNamePrefix", "consumerRefreshInterval", "registeredConsumerId",
    "registeredConsumerIdType", "requireConsumerDeregistration", "registerConsumerTimeoutInterval",
)  # fmt: skip
_KNOWN = (
    "streamName", "streamARN", "region", "endpoint", "initialPosition", "consumerMode", "maxRecordsPerFetch",
    "minFetchPeriod", "fetchBufferSize", "shardsPerTask", "maxPartitions", "shardFetchInterval",
    "maxShardsPerDescribe", "awsAccessKey", "awsSecretKey", "roleArn", "roleExternalId", "roleSessionName",
    "stsEndpoint", "failOnDataLoss",
    "maxRecordsPerTrigger", "spoolDir", "pollInterval", "retryDeadline",
)  # fmt: skip
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_BYTES = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}


@dataclass(frozen=True)
class InitialPosition:
    """Where a query without a checkpoint begins; ``at_ms`` is set for ``at_timestamp`` alone."""

    kind: Literal["latest", "trim_horizon", "at_timestamp"] = "latest"
    at_ms: int | None = None


@dataclass(frozen=True)
class Options:
    """Checked options. Hashable, so that a process can keep one client for each."""

    stream: str
    """Name or ARN, as the user gave it; it is what the column ``stream`` holds."""
    region: str | None = None
    endpoint: str | None = None
    initial_position: InitialPosition = InitialPosition()
    max_records_per_fetch: int = 10_000
    poll_interval_s: float = 0.2
    fetch_buffer_bytes: int = 64 << 20
    shards_per_task: int = 1
    max_partitions: int | None = None
    shard_fetch_interval_s: float = 1.0
    max_shards_per_describe: int = 1000
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    role_arn: str | None = None
    role_external_id: str | None = None
    role_session_name: str | None = None
    sts_endpoint: str | None = None
    fail_on_data_loss: bool = True
    max_records_per_trigger: int | None = None
    spool_dir: Path | None = None
    retry_deadline_s: float = 300.0

    @property
    def stream_request(self) -> dict[str, str]:
        """How every request names the stream."""
        return {"StreamARN" if self.stream.startswith("arn:") else "StreamName": self.stream}


def parse_options(given: Mapping[str, str]) -> Options:
    """Check and convert; names are taken in any case, as Spark gives them.

    Raises:
        OptionError: an option is unknown, missing or wrong. It names the option.
    """
    options = _Given(given)
    options.reject_unknown()
    access_key, secret_key = options.text("awsAccessKey"), options.text("awsSecretKey")
    if (access_key is None) != (secret_key is None):
        raise OptionError("awsSecretKey" if secret_key is None else "awsAccessKey", "the two keys go together")
    role_arn = options.text("roleArn")
    if role_arn is None:
        for name in ("roleExternalId", "roleSessionName", "stsEndpoint"):
            if options.text(name) is not None:
                raise OptionError(name, "it means nothing without 'roleArn'")
    if options.text("shardsPerTask") is not None and options.text("maxPartitions") is not None:
        raise OptionError("maxPartitions", "give it or 'shardsPerTask', not both")
    spool_dir = options.text("spoolDir")
    fetch_period_s = options.seconds("minFetchPeriod", Options.poll_interval_s, least=0.2)
    return Options(
        stream=_stream(options),
        region=options.text("region"),
        endpoint=options.text("endpoint"),
        initial_position=_initial_position(options.text("initialPosition") or "latest"),
        max_records_per_fetch=options.count("maxRecordsPerFetch", Options.max_records_per_fetch, most=10_000),
        poll_interval_s=options.seconds("pollInterval", fetch_period_s, least=0.0),
        fetch_buffer_bytes=options.size("fetchBufferSize", Options.fetch_buffer_bytes),
        shards_per_task=options.count("shardsPerTask", Options.shards_per_task),
        max_partitions=options.count("maxPartitions", 0) or None,
        shard_fetch_interval_s=options.seconds("shardFetchInterval", Options.shard_fetch_interval_s, least=0.0),
        max_shards_per_describe=options.count("maxShardsPerDescribe", Options.max_shards_per_describe, most=10_000),
        access_key=access_key,
        secret_key=secret_key,
        role_arn=role_arn,
        role_external_id=options.text("roleExternalId"),
        role_session_name=options.text("roleSessionName"),
        sts_endpoint=options.text("stsEndpoint"),
        fail_on_data_loss=options.flag("failOnDataLoss", default=True),
        max_records_per_trigger=options.count("maxRecordsPerTrigger", 0) or None,
        spool_dir=None if spool_dir is None else Path(spool_dir),
        retry_deadline_s=options.seconds("retryDeadline", Options.retry_deadline_s, least=0.0),
    )


def _stream(options: "_Given") -> str:
    name, arn = options.text("streamName"), options.text("streamARN")
    if arn is not None and name is None:
        if "," in arn or not re.fullmatch(r"arn:[\w-]+:kinesis:[\w-]*:\d*:stream/[\w.-]+", arn):
            raise OptionError("streamARN", f"{arn!r} is not the ARN of one stream")
        return arn
    if name is None or arn is not None:
        raise OptionError("streamName", "give either it or 'streamARN'")
    if not re.fullmatch(r"[\w.-]{1,128}", name):
        raise OptionError("streamName", f"{name!r} is not the name of one stream (a list of streams is not supported)")
    return name


def _initial_position(text: str) -> InitialPosition:
    match text.strip().lower():
        case "latest":
            return InitialPosition("latest")
        case "trim_horizon" | "earliest":
            return InitialPosition("trim_horizon")
    try:
        value = json.loads(text)
    except ValueError:
        value = None  # neither a keyword nor JSON
    form = value if isinstance(value, dict) else {"at_timestamp": value}
    value, java_format = form.get("at_timestamp"), form.get("format")
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        return InitialPosition("at_timestamp", epoch_ms(value, java_format))
    except ValueError as error:
        raise OptionError("initialPosition", str(error)) from error
    except TypeError as error:
        expected = 'latest, trim_horizon, earliest or {"at_timestamp": …, "format": …}'
        raise OptionError("initialPosition", f"{text!r} is not one of {expected}") from error


class _Given:
    """Options as given, looked up in any case."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in given.items()}

    def reject_unknown(self) -> None:
        consumer_mode = (self.text("consumerMode") or "polling").lower()
        if consumer_mode != "polling":
            raise OptionError("consumerMode", "enhanced fan-out is not supported here; only 'polling' is")
        for name in _FAN_OUT:
            if self.text(name) is not None:
                raise OptionError(name, "enhanced fan-out is not supported here")
        if self.text("serviceCredential") is not None:
            raise OptionError("serviceCredential", "it exists on Databricks alone; use 'roleArn' or keys")
        known = {name.lower() for name in (*_KNOWN, *_NO_EFFECT)}
        for name in self._values:
            if name not in known:
                raise OptionError(name, "unknown. Known options: " + ", ".join(_KNOWN))

    def text(self, name: str) -> str | None:
        value = self._values.get(name.lower())
        if value is not None and not value.strip():
            raise OptionError(name, "it is empty")
        return value

    def count(self, name: str, default: int, most: int | None = None) -> int:
        text = self.text(name)
        if text is None:
            return default
        if not re.fullmatch(r"\d{1,18}", text.strip()) or int(text) < 1 or (most is not None and int(text) > most):
            upper = "" if most is None else f" up to {most}"
            raise OptionError(name, f"{text!r} is not a whole number from 1{upper}")
        return int(text)

    def seconds(self, name: str, default: float, least: float) -> float:
        text = self.text(name)
        if text is None:
            return default
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip().lower())
        if found is None or found[2] not in _UNITS_S:
            raise OptionError(name, f"{text!r} is not a duration such as 200ms, 1s or 5m")
        value = float(found[1]) * _UNITS_S[found[2]]
        if value < least:
            raise OptionError(name, f"{text!r} is less than {least:g}s")
        return value

    def size(self, name: str, default: int) -> int:
        text = self.text(name)
        if text is None:
            return default
        found = re.fullmatch(r"(\d{1,15})\s*([a-z]*)", text.strip().lower())
        if found is None or found[2] not in _UNITS_BYTES or int(found[1]) < 1:
            raise OptionError(name, f"{text!r} is not a size such as 64mb or 2gb")
        return int(found[1]) * _UNITS_BYTES[found[2]]

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.text(name)
        if text is None:
            return default
        if text.strip().lower() not in ("true", "false"):
            raise OptionError(name, f"{text!r} is neither true nor false")
        return text.strip().lower() == "true"
