"""The values of each stack's parameters, and a check of them before CloudFormation is asked."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import API_STAGE, STREAM_SHARDS, TOPIC_PARTITIONS

from aws_deploy.connectors import worker_name
from aws_deploy.errors import SettingError
from aws_deploy.wanted import Earlier, StackKind, Wanted

_FLUSH_INTERVAL_MS = "60000"
_SECRET = "(not shown)"  # noqa: S105 (what is said in its place)


def parameters(kind: StackKind, wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    """What the stack of this kind gets: what follows from the rest, then what a person has set.

    Raises:
        KeyError: a stack that it reads from has not been deployed.
        SettingError: a certificate without a name that it is for; one key for sending and for managing.
    """
    found = {"PipelineId": wanted.names.pipeline_id, **_OF[kind](wanted, earlier), **wanted.overrides.get(kind, {})}
    if kind == "connect":
        flush = found.get("FlushIntervalMs", _FLUSH_INTERVAL_MS)
        found["WorkerName"] = worker_name(wanted.names.pipeline_id, flush)
    if found.get("CertificateArn") and not found.get("HostName"):
        raise SettingError(
            f"{kind}.CertificateArn needs a name that the certificate is for: give --set {kind}.HostName=… too "
            "(nobody has a certificate for the load balancer's own name)"
        )
    return found


def check(stack: str, declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> None:
    """Compare values with what the template allows.

    Raises:
        SettingError: one is unknown, missing, or not allowed; names stack, parameter and rule.
    """
    for name in given:
        if name not in declared:
            known = ", ".join(sorted(declared))
            raise SettingError(f"Stack {stack} has no parameter {name}. It has: {known}")
    for name, rule in declared.items():
        if name not in given and "Default" not in rule:
            raise SettingError(f"Stack {stack} needs parameter {name}: {rule.get('Description', 'no default')}")
        if name in given and (wrong := _wrong(given[name], rule)):
            shown = _SECRET if rule.get("NoEcho") else repr(given[name])
            raise SettingError(
                f"Stack {stack}: parameter {name} is {shown}; {rule.get('ConstraintDescription', wrong)}"
            )


def _wrong(value: str, rule: Mapping[str, Any]) -> str:
    allowed = [str(item) for item in rule.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"must be one of {', '.join(allowed)}"
    if rule["Type"] == "Number":
        if not re.fullmatch(r"\d+", value):
            return "must be a whole number"
        low, high = rule.get("MinValue", 0), rule.get("MaxValue", float("inf"))
        if not low <= int(value) <= high:
            return f"must be from {low} to {high}"
    if "AllowedPattern" in rule and not re.fullmatch(rule["AllowedPattern"], value):
        return f"must match {rule['AllowedPattern']}"
    if not rule.get("MinLength", 0) <= len(value) <= rule.get("MaxLength", len(value)):
        return f"must have {rule.get('MinLength', 0)} to {rule.get('MaxLength')} characters"
    return ""


def _data(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {"Target": wanted.target, "BucketName": wanted.names.bucket}


def _streams(_wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    return {"Shards": str(STREAM_SHARDS), "KeyArn": earlier["data"].get("KeyArn", "")}


def _api(wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    proxy = earlier.get("proxy", {})
    if wanted.admin_key == wanted.api_key:
        raise SettingError("GATEWAY_ADMIN_KEY is GATEWAY_API_KEY: the sender's key must not manage streams")
    admin = {} if wanted.admin_key is None else {"AdminKeyValue": wanted.admin_key.get_secret_value()}
    return {
        "Target": wanted.target,
        "LocalEndpoint": wanted.local_endpoint,
        "Stage": API_STAGE,
        "ProxyUrl": proxy.get("ProxyUrl", wanted.proxy_url).rstrip("/"),
        "VpcLinkId": proxy.get("VpcLinkId", ""),
        "LoadBalancerArn": proxy.get("LoadBalancerArn", ""),
        "KeyArn": earlier["data"].get("KeyArn", ""),
        "ApiKeyValue": wanted.api_key.get_secret_value(),
        **admin,
    }


def _none(_wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {}


def _sized(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {"Size": wanted.size}


def _kafka(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    sizes = {spec.name: spec.config["max.message.bytes"] for spec in topic_specs(wanted.names)}
    return {
        "Size": wanted.size,
        "Partitions": str(TOPIC_PARTITIONS),
        "MaxEventBytes": sizes[wanted.names.topic("pin")],
        "MaxDeadLetterBytes": sizes[wanted.names.dead_letter_topic],
    }


def _connect(wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    return {"BootstrapServers": earlier["kafka"]["BootstrapServers"], "PluginSha256": wanted.plugin_sha256}


def _proxy(wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    return {
        "Size": wanted.size,
        "Image": wanted.images.get("proxy", ""),
        "BootstrapServers": earlier["kafka"]["BootstrapServers"],
        "Stage": API_STAGE,
    }


def _emitter(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {"Image": wanted.images.get("emitter", ""), "ApiKeyValue": wanted.api_key.get_secret_value()}


def _popularity(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {"Size": wanted.size, "Image": wanted.images.get("stream-reader", "")}


def _alarms(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {"Stage": API_STAGE, "ProxyTasks": "2" if wanted.size == "prod" else "1"}


def _mwaa(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {
        "Size": wanted.size,
        "StartupVersion": wanted.startup_version,
        "RequirementsVersion": wanted.requirements_version,
    }


_OF: dict[StackKind, Callable[[Wanted, Earlier], dict[str, str]]] = {
    "data": _data,
    "streams": _streams,
    "images": _none,
    "network": _sized,
    "kafka": _kafka,
    "connect": _connect,
    "proxy": _proxy,
    "api": _api,
    "emitter": _emitter,
    "popularity": _popularity,
    "mwaa": _mwaa,
    "databricks": _none,
    "alarms": _alarms,
}
