"""Lines 6 and 9: roles and secrets."""

import json
import re
from collections.abc import Iterator
from typing import Any

from aws_policies.deployment import Deployment, Documents, Resource, Rule, listed, properties, statements

# Actions that have no resource of their own: AWS takes "*" only.
_EVERYWHERE = {
    "kinesis:ListStreams",
    "logs:DescribeLogGroups",
    "ecr:GetAuthorizationToken",
    "cloudwatch:GetMetricData",
    "cloudwatch:PutMetricData",
    "s3:GetAccountPublicAccessBlock",
}
# These say neither account nor source when they assume a role.
_NO_SOURCE = {"ec2.amazonaws.com"}
_SECRET_NAME = re.compile(r"(ApiKey|Secret|Password|Token)(Value)?$")


def _rights(deployment: Deployment) -> Iterator[tuple[Resource, dict[str, Any]]]:
    for role in deployment.of("AWS::IAM::Role"):
        for policy in role.properties.get("Policies", []):
            for statement in statements(policy["PolicyDocument"]):
                yield role, statement


def roles(deployment: Deployment) -> list[str]:
    found = []
    for role, statement in _rights(deployment):
        actions, resources = listed(statement["Action"]), listed(statement["Resource"])
        found += [f"{role} may {action}" for action in actions if "*" in action]
        if "*" in resources:
            found += [f"{role} may {action} on everything" for action in actions if action not in _EVERYWHERE]
        if any(action.startswith("kms:") for action in actions) and not _is_our_key(statement):
            found.append(f"{role} may use keys of others, or not the one that an earlier deployment left")
        for service, mark in (("kinesis", "stream/streaming-pinterest-"), ("kafka-cluster", "/pinterest/")):
            mine = [action for action in actions if action.startswith(f"{service}:") and action not in _EVERYWHERE]
            wide = [text for text in map(json.dumps, resources) if "arn:" in text and mark not in text]
            found += [f"{role} may {mine[0]} on {text}" for text in wide if mine]
        if {"kafka-cluster:WriteData", "kafka-cluster:ReadData"} & set(actions):
            found += [f"{role}: {r} is no topic of ours" for r in resources if not _is_our_topic(r)]
    for role in deployment.of("AWS::IAM::Role"):
        for statement in statements(role.properties["AssumeRolePolicyDocument"]):
            services = set(listed(statement["Principal"].get("Service", [])))
            source = "aws:SourceAccount" in statement.get("Condition", {}).get("StringEquals", {})
            if services - _NO_SOURCE and not source:
                found.append(f"{role} can be assumed for other accounts")
            if "AWS" in statement["Principal"] and not statement.get("Condition"):
                found.append(f"{role} can be assumed without a condition")
    return found + _streams_are_managed_apart(deployment)


def _is_our_topic(resource: Any) -> bool:
    return isinstance(resource, str) and bool(
        re.search(r":topic/pinterest/\*/(pinterest\.|__amazon_msk_connect_)", resource)
    )


def _is_our_key(statement: dict[str, Any]) -> bool:
    """By tag: a key outlives its stack, and so does what is under it."""
    keys = "arn:aws:kms:us-east-1:000000000000:key/*"
    return (statement["Resource"], statement.get("Condition")) == (
        keys,
        {"StringEquals": {"aws:ResourceTag/project": "pinterest"}},
    )


def _streams_are_managed_apart(deployment: Deployment) -> list[str]:
    managing = {"kinesis:CreateStream", "kinesis:DeleteStream"}
    return [
        f"{role} both writes to streams and manages them"
        for role in deployment.of("AWS::IAM::Role")
        if managing & (actions := {a for r, s in _rights(deployment) if r.name == role.name and r.stack == role.stack
                                   for a in listed(s["Action"])}) and "kinesis:PutRecords" in actions
    ]  # fmt: skip


def _all_of_s3(documents: Documents) -> None:
    properties(documents, "connect", "Role")["Policies"][1]["PolicyDocument"]["Statement"][1]["Action"] = "s3:*"


def _all_keys(documents: Documents) -> None:
    properties(documents, "databricks", "StreamsRole")["Policies"][0]["PolicyDocument"]["Statement"][1]["Resource"] = (
        "*"
    )


def _keys_of_others(documents: Documents) -> None:
    del properties(documents, "connect", "Role")["Policies"][1]["PolicyDocument"]["Statement"][2]["Condition"]


def _newest_key(documents: Documents) -> None:
    statement = properties(documents, "popularity", "TaskRole")["Policies"][0]["PolicyDocument"]["Statement"][2]
    statement["Resource"] = {"Fn::ImportValue": "pinterest-key-arn"}


def _all_topics(documents: Documents) -> None:
    statement = properties(documents, "proxy", "TaskRole")["Policies"][0]["PolicyDocument"]["Statement"][1]
    statement["Resource"] = {"Fn::Sub": "arn:aws:kafka:us-east-1:000000000000:topic/${PipelineId}/*/*"}


def _confused_deputy(documents: Documents) -> None:
    del properties(documents, "mwaa", "Role")["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]


def _one_role(documents: Documents) -> None:
    statement = properties(documents, "api", "RecordsRole")["Policies"][0]["PolicyDocument"]["Statement"][0]
    statement["Action"].append("kinesis:DeleteStream")


def secrets(deployment: Deployment) -> list[str]:
    found = []
    for stack, document in deployment.documents.items():
        declared = document.get("Parameters", {})
        hidden = {name for name, rule in declared.items() if rule.get("NoEcho") is True}
        found += [f"{stack}: {n} is echoed" for n in declared if _SECRET_NAME.search(n) and n not in hidden]
        for name in hidden:
            if _names(document.get("Outputs", {}), name):
                found.append(f"{stack}: {name} is an output")
            for logical_id, resource in document["Resources"].items():
                given = resource.get("Properties", {})
                shown = [given.get("UserData"), given.get("AirflowConfigurationOptions")]
                shown += [container.get("Environment") for container in given.get("ContainerDefinitions", [])]
                found += [f"{stack}/{logical_id} shows {name}" for part in shown if _names(part, name)]
    for secret in deployment.of("AWS::SecretsManager::Secret"):
        written = deployment.documents[secret.stack]["Resources"][secret.name]["Properties"].get("SecretString")
        if isinstance(written, str):
            found.append(f"{secret} has its value in the template")
    return found


def _names(node: Any, parameter: str) -> bool:
    text = json.dumps(node)
    return f'{{"Ref": "{parameter}"}}' in text or f"${{{parameter}}}" in text


def _echo(documents: Documents) -> None:
    del documents["emitter"]["Parameters"]["ApiKeyValue"]["NoEcho"]


def _in_environment(documents: Documents) -> None:
    [container] = properties(documents, "emitter", "Task")["ContainerDefinitions"]
    container["Environment"].append({"Name": "GATEWAY_API_KEY", "Value": {"Ref": "ApiKeyValue"}})


def _in_outputs(documents: Documents) -> None:
    documents["api"]["Outputs"]["Key"] = {"Value": {"Fn::Sub": "key=${ApiKeyValue}"}}


def _in_template(documents: Documents) -> None:
    properties(documents, "mwaa", "DatabricksConnection")["SecretString"] = "dapi0123"


RULES = [
    Rule(
        6,
        "a role may what it must, on what is ours, for this account",
        roles,
        {
            "all of S3": _all_of_s3,
            "all keys": _all_keys,
            "keys of others": _keys_of_others,
            "the newest key alone": _newest_key,
            "all topics": _all_topics,
            "a trust without a source": _confused_deputy,
            "one role for records and streams": _one_role,
        },
    ),
    Rule(
        9,
        "secrets are in Secrets Manager and nowhere else",
        secrets,
        {
            "an echo": _echo,
            "a task's environment": _in_environment,
            "an output": _in_outputs,
            "the template": _in_template,
        },
    ),
]
