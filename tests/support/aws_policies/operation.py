"""Lines 8, 12, 13: logs, alarms, hosts and tasks."""

import re
from typing import Any

from aws_policies.deployment import Deployment, Documents, Resource, Rule, listed, properties

_WATCHED = {
    ("AWS/Kafka", "EstimatedMaxTimeLag"): "Maximum",
    ("AWS/Kafka", "UnderReplicatedPartitions"): "Maximum",
    ("AWS/Kafka", "OfflinePartitionsCount"): "Sum",
    ("AWS/Kafka", "CpuUser"): "Maximum",
    ("AWS/Kafka", "KafkaDataLogsDiskUsed"): "Maximum",
    ("AWS/Kafka", "BytesInPerSec"): "Maximum",
    ("AWS/KafkaConnect", "ErroredTaskCount"): "Maximum",
    ("AWS/KafkaConnect", "RunningTaskCount"): "Minimum",
    ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds"): "Maximum",
    ("AWS/Kinesis", "WriteProvisionedThroughputExceeded"): "Sum",
    ("AWS/ApiGateway", "5XXError"): "Average",
    ("AWS/ApiGateway", "Latency"): "p95",
    ("ECS/ContainerInsights", "RunningTaskCount"): "Minimum",
    ("AmazonMWAA", "SchedulerHeartbeat"): "Sum",
    ("AmazonMWAA", "DAGDurationFailed"): "SampleCount",
}
_STATISTIC = {"MAX": "Maximum", "AVG": "Average", "SUM": "Sum", "MIN": "Minimum"}
_QUERY = re.compile(
    r'SELECT (?P<function>[A-Z]+)\((?P<metric>\w+)\) FROM SCHEMA\("(?P<namespace>[^"]+)", "Broker ID", "Cluster Name"'
    r"(, Topic)?\) WHERE \"Cluster Name\" = 'pinterest'"
)
type Watched = tuple[str, str, str | None]
"""Namespace, metric, statistic."""
_TOPICS = {"pinterest.pin", "pinterest.geo", "pinterest.user"}


_NAMED_BY_ITS_USER = {
    "airflow-pinterest-": "AWS::MWAA::Environment",
    "API-Gateway-Execution-Logs_": "AWS::ApiGateway::Stage",
}


def logs(deployment: Deployment) -> list[str]:
    found = [f"{group} is kept for ever" for group in deployment.of("AWS::Logs::LogGroup")
             if not group.properties.get("RetentionInDays")]  # fmt: skip
    for stage in deployment.of("AWS::ApiGateway::Stage"):
        settings: dict[str, Any] = {}
        for setting in stage.properties.get("MethodSettings", []):
            settings |= setting
        wants = {
            "has no access log": stage.properties.get("AccessLogSetting", {}).get("Format", "").startswith("{"),
            "does not log errors": settings.get("LoggingLevel") == "ERROR",
            "logs payloads": settings.get("DataTraceEnabled") is False,
            "is not traced": stage.properties.get("TracingEnabled") is True,
        }
        found += [f"{stage} {what}" for what, holds in wants.items() if not holds]
    found += [
        f"{user} may come before {group}, whose name it chooses"
        for group in deployment.of("AWS::Logs::LogGroup")
        for name, kind in _NAMED_BY_ITS_USER.items()
        if name in str(group.properties["LogGroupName"])
        for user in deployment.of(kind)
        if group.name not in listed(user.whole.get("DependsOn", []))
    ]
    named = {str(group.properties["LogGroupName"]) for group in deployment.of("AWS::Logs::LogGroup")}
    for service in ("Scheduler", "Task", "Worker", "WebServer", "DAGProcessing"):
        if f"airflow-pinterest-{service}" not in named:
            found.append(f"Airflow's {service} makes its log itself, without key and end")
    if not any("API-Gateway-Execution-Logs_" in name for name in named):
        found.append("the gateway makes its log itself, without key and end")
    return found


def _for_ever(documents: Documents) -> None:
    del properties(documents, "kafka", "BrokerLog")["RetentionInDays"]


def _payloads(documents: Documents) -> None:
    properties(documents, "api", "ApiStage")["MethodSettings"]["Fn::If"][1][0]["DataTraceEnabled"] = True


def _made_by_airflow(documents: Documents) -> None:
    del documents["mwaa"]["Resources"]["TaskLog"]


def _watches(alarm: Resource) -> Watched:
    properties = alarm.properties
    if "Metrics" not in properties:
        statistic = properties.get("Statistic") or properties.get("ExtendedStatistic")
        return properties["Namespace"], properties["MetricName"], statistic
    [query] = properties["Metrics"]
    found = _QUERY.match(query["Expression"])
    assert found, query
    return found["namespace"], found["metric"], _STATISTIC[found["function"]]


def _log_after_its_user(documents: Documents) -> None:
    del documents["api"]["Resources"]["ApiStage"]["DependsOn"]


def alarms(deployment: Deployment) -> list[str]:
    there = list(deployment.of("AWS::CloudWatch::Alarm"))
    watched = {(namespace, metric): statistic for namespace, metric, statistic in map(_watches, there)}
    found = [f"nobody watches {' '.join(metric)}" for metric in _WATCHED if metric not in watched]
    for metric, statistic in _WATCHED.items():
        if watched.get(metric, statistic) != statistic:
            found.append(f"{' '.join(metric)} is not watched by its {statistic}")
    found += [f"{alarm} tells nobody" for alarm in there if alarm.properties.get("AlarmActions") != [{"Ref": "Topic"}]]
    dimensions = [(alarm, dimension) for alarm in there for dimension in alarm.properties.get("Dimensions", [])]
    found += [f"{alarm} watches one broker of many" for alarm, item in dimensions if item["Name"] == "Broker ID"]
    lags = {
        dimension["Value"]
        for alarm, dimension in dimensions
        if alarm.properties["MetricName"] == "EstimatedMaxTimeLag" and dimension["Name"] == "Topic"
    }
    found += [f"nobody watches the lag of {topic}" for topic in sorted(_TOPICS - lags)]
    return found


def _no_lag(documents: Documents) -> None:
    del documents["alarms"]["Resources"]["SinkLagGeo"]


def _average_lag(documents: Documents) -> None:
    for name in ("SinkLagPin", "SinkLagGeo", "SinkLagUser"):
        properties(documents, "alarms", name)["Statistic"] = "Average"


def _nobody(documents: Documents) -> None:
    properties(documents, "alarms", "OfflinePartitions")["AlarmActions"] = []


def _no_dead_letters(documents: Documents) -> None:
    del documents["alarms"]["Resources"]["DeadLetters"]


def _one_broker(documents: Documents) -> None:
    alarm = properties(documents, "alarms", "BrokerDisk")
    del alarm["Metrics"]
    alarm |= {"Namespace": "AWS/Kafka", "MetricName": "KafkaDataLogsDiskUsed", "Statistic": "Maximum"}
    alarm["Dimensions"] = [{"Name": "Cluster Name", "Value": "p"}, {"Name": "Broker ID", "Value": "1"}]


def _cpu_of_all(documents: Documents) -> None:
    query = properties(documents, "alarms", "BrokerCpu")["Metrics"][0]["Expression"]
    query["Fn::Sub"] = query["Fn::Sub"].replace("MAX(", "AVG(")


def hosts(deployment: Deployment) -> list[str]:
    found = []
    for template in deployment.of("AWS::EC2::LaunchTemplate"):
        if template.properties["LaunchTemplateData"]["MetadataOptions"].get("HttpTokens") != "required":
            found.append(f"{template} gives its credentials to who asks")
    for host in deployment.of("AWS::EC2::Instance"):
        wants = {
            "has no launch template": "LaunchTemplate" in host.properties,
            "has a plain disk": all(d["Ebs"].get("Encrypted") is True for d in host.properties["BlockDeviceMappings"]),
            "is public": all(n["AssociatePublicIpAddress"] is False for n in host.properties["NetworkInterfaces"]),
        }
        found += [f"{host} {what}" for what, holds in wants.items() if not holds]
    for task in deployment.of("AWS::ECS::TaskDefinition"):
        for container in task.properties["ContainerDefinitions"]:
            wants = {
                "can write its image": container.get("ReadonlyRootFilesystem") is True,
                "runs as root": not re.match(r"(0|root)?(:|$)", container.get("User", "")),
                "is not named by its digest": "@sha256:" in str(container["Image"]),
            }
            found += [f"{task} {what}" for what, holds in wants.items() if not holds]
    for service in deployment.of("AWS::ECS::Service"):
        breaker = service.properties.get("DeploymentConfiguration", {}).get("DeploymentCircuitBreaker")
        if breaker != {"Enable": True, "Rollback": True}:
            found.append(f"{service} goes on with a bad image")
        if service.properties["NetworkConfiguration"]["AwsvpcConfiguration"].get("AssignPublicIp") != "DISABLED":
            found.append(f"{service} is public")
    return found


def _old_metadata(documents: Documents) -> None:
    template = properties(documents, "kafka", "ClientTemplate")["LaunchTemplateData"]
    template["MetadataOptions"]["HttpTokens"] = "optional"


def _root(documents: Documents) -> None:
    del properties(documents, "proxy", "Task")["ContainerDefinitions"][0]["User"]


def _by_tag(documents: Documents) -> None:
    properties(documents, "emitter", "Task")["ContainerDefinitions"][0]["Image"] = "pinterest/emitter:1"


def _no_breaker(documents: Documents) -> None:
    del properties(documents, "proxy", "Service")["DeploymentConfiguration"]["DeploymentCircuitBreaker"]


RULES = [
    Rule(
        8,
        "logs are ours, end, and hold no payloads",
        logs,
        {
            "a log for ever": _for_ever,
            "payloads in it": _payloads,
            "one made by Airflow": _made_by_airflow,
            "one that the gateway may make first": _log_after_its_user,
        },
    ),
    Rule(
        12,
        "what can go wrong wakes somebody",
        alarms,
        {
            "a topic's lag": _no_lag,
            "an average that hides the worst": _average_lag,
            "an alarm for nobody": _nobody,
            "dead letters unseen": _no_dead_letters,
            "the disk of the first broker alone": _one_broker,
            "a mean over all brokers": _cpu_of_all,
        },
    ),
    Rule(
        13,
        "hosts and tasks can do no more than their work",
        hosts,
        {"old metadata": _old_metadata, "root": _root, "a tag that moves": _by_tag, "no breaker": _no_breaker},
    ),
]
