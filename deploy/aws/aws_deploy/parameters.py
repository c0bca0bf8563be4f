"""The values of each stack's parameters, and a check of them before CloudFormation is asked."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import STREAM_SHARDS, TOPIC_PARTITIONS

from aws_deploy.connectors import worker_name
from aws_deploy.errors import SettingError
from aws_deploy.wanted import DEFAULT_SIZE, Earlier, StackKind, Wanted

_FLUSH_INTERVAL_MS = "60000"
_STORED = "AWS::SSM::Parameter::"
_SECRET = "(not shown)"  # noqa: S105 (what is said in its place)


def parameters(
    kind: StackKind, wanted: Wanted, earlier: Earlier, has: Mapping[str, str]
) -> tuple[dict[str, str], frozenset[str]]:
    """What the stack of this kind gets, and the names of those that keep the value that it ``has``.

    First counts what a person has set, then what follows from the rest, then what the stack has, then our defaults.

    Raises:
        KeyError: a stack that it reads from has not been deployed.
        SettingError: a certificate without a name that it is for; one key for sending and for managing; something is
            to have its default again that follows from the rest.
    """
    chosen = wanted.overrides.get(kind, {})
    derived = {"PipelineId": wanted.names.pipeline_id, **_OF[kind](wanted, earlier)}
    if kind == "connect":
        flush = {**has, **chosen}.get("FlushIntervalMs", _FLUSH_INTERVAL_MS)
        derived["WorkerName"] = worker_name(wanted.names.pipeline_id, flush)
    for name in wanted.resets.get(kind, frozenset()) & set(derived):
        raise SettingError(
            f"--reset {kind}.{name}: it follows from an option, a variable or another stack each time, so there is "
            "nothing to give back"
        )
    given = {**derived, **chosen}
    found = {**_defaults(kind, wanted), **has, **given}
    if found.get("CertificateArn") and not found.get("HostName"):
        raise SettingError(
            f"{kind}.CertificateArn needs a name that the certificate is for: give --set {kind}.HostName=… too "
            "(nobody has a certificate for the load balancer's own name)"
        )
    return found, frozenset(has).difference(given)


def check_resets(
    stack: str, declared: Mapping[str, Any], resets: Collection[str], overrides: Mapping[str, str]
) -> None:
    """Compare what is to have its default again with what there is.

    Raises:
        SettingError: there is no such parameter, it has no default, or it is set as well.
    """
    for name in resets:
        if name not in declared:
            raise SettingError(f"Stack {stack} has no parameter {name}. It has: {', '.join(sorted(declared))}")
        if "Default" not in declared[name]:
            raise SettingError(f"Stack {stack}: parameter {name} has no default to go back to; use --set")
        if name in overrides:
            raise SettingError(f"Stack {stack}: parameter {name} is given by both --set and --reset; give one")


def check(
    stack: str, declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str], kept: Collection[str] = ()
) -> None:
    """Compare values with what the template allows, but for those ``kept`` whose value is not told: secrets, and what
    stands in the parameter store.

    Raises:
        SettingError: one is unknown, missing, or not allowed; names stack, parameter and rule.
    """
    for name, rule in declared.items():
        if name not in given and "Default" not in rule:
            raise SettingError(f"Stack {stack} needs parameter {name}: {rule.get('Description', 'no default')}")
    untold = {name for name in kept if declared[name].get("NoEcho") or declared[name]["Type"].startswith(_STORED)}
    check_values(stack, declared, {name: value for name, value in given.items() if name not in untold})


def check_values(stack: str, declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> None:
    """Compare values with what the template allows.

    Raises:
        SettingError: one is unknown or not allowed; names stack, parameter and rule.
    """
    for name, value in given.items():
        if name not in declared:
            raise SettingError(f"Stack {stack} has no parameter {name}. It has: {', '.join(sorted(declared))}")
        rule = declared[name]
        if wrong := _wrong(value, rule):
            shown = _SECRET if rule.get("NoEcho") else repr(value)
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


def _defaults(kind: StackKind, wanted: Wanted) -> dict[str, str]:
    """Where our default is not the template's: counts until a person has chosen another value."""
    sizes = {spec.name: spec.config["max.message.bytes"] for spec in topic_specs(wanted.names)}
    return {
        "streams": {"Shards": str(STREAM_SHARDS)},
        "kafka": {
            "Partitions": str(TOPIC_PARTITIONS),
            "MaxEventBytes": sizes[wanted.names.topic("pin")],
            "MaxDeadLetterBytes": sizes[wanted.names.dead_letter_topic],
        },
    }.get(kind, {})


def _data(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {"Target": wanted.target, "BucketName": wanted.names.bucket}


def _streams(_wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    return {"KeyArn": earlier["data"].get("KeyArn", "")}


def _api(wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    proxy = earlier.get("proxy", {})
    if wanted.admin_key == wanted.api_key:
        raise SettingError("GATEWAY_ADMIN_KEY is GATEWAY_API_KEY: the sender's key must not manage streams")
    admin = {} if wanted.admin_key is None else {"AdminKeyValue": wanted.admin_key.get_secret_value()}
    return {
        "Target": wanted.target,
        "LocalEndpoint": wanted.local_endpoint,
        "Stage": wanted.stage,
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
    return {"Size": _size(wanted)}


def _size(wanted: Wanted) -> str:
    return wanted.size or DEFAULT_SIZE


def _image(wanted: Wanted, service: str) -> dict[str, str]:
    """Empty where nobody named one: the stack keeps its own."""
    return {"Image": wanted.images[service]} if service in wanted.images else {}


def _connect(wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    plugin = {"PluginSha256": wanted.plugin_sha256} if wanted.plugin_sha256 else {}
    return {"BootstrapServers": earlier["kafka"]["BootstrapServers"], **plugin}


def _proxy(wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    return {
        "Size": _size(wanted),
        "BootstrapServers": earlier["kafka"]["BootstrapServers"],
        "Stage": wanted.stage,
        **_image(wanted, "proxy"),
    }


def _emitter(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {**_image(wanted, "emitter"), "ApiKeyValue": wanted.api_key.get_secret_value()}


def _popularity(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    return {"Size": _size(wanted), **_image(wanted, "stream-reader")}


def _dashboard(wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    return {
        "Stage": wanted.stage,
        "PopularityUrl": earlier.get("popularity", {}).get("PopularityUrl", ""),
        **_image(wanted, "dashboard"),
    }


def _alarms(wanted: Wanted, earlier: Earlier) -> dict[str, str]:
    by_size = "2" if wanted.size == "prod" else "1"  # of a proxy that was deployed before it said how many
    return {"Stage": wanted.stage, "ProxyTasks": earlier.get("proxy", {}).get("Tasks", by_size)}


def _mwaa(wanted: Wanted, _earlier: Earlier) -> dict[str, str]:
    versions = {"StartupVersion": wanted.startup_version, "RequirementsVersion": wanted.requirements_version}
    return {"Size": _size(wanted), **{name: version for name, version in versions.items() if version}}


_OF: dict[StackKind, Callable[[Wanted, Earlier], dict[str, str]]] = {
    "data": _data,
    "streams": _streams,
    "images": _none,
    "network": _sized,
    "kafka": _sized,
    "connect": _connect,
    "proxy": _proxy,
    "api": _api,
    "emitter": _emitter,
    "popularity": _popularity,
    "dashboard": _dashboard,
    "mwaa": _mwaa,
    "databricks": _none,
    "alarms": _alarms,
}
