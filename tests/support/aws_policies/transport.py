"""Lines 2, 3, 5, 7: who can reach what, and how."""

from typing import Any

from aws_policies.deployment import Deployment, Documents, Rule, properties, statements

_ENDPOINTS = {
    "s3", "kinesis-streams", "logs", "monitoring", "sts", "secretsmanager", "ecr.api", "ecr.dkr", "ssm",
    "ssmmessages", "kms", "sqs",
}  # fmt: skip
_OPEN = {"0.0.0.0/0", "::/0"}


def encrypted_transport(deployment: Deployment) -> list[str]:
    found = []
    for cluster in deployment.of("AWS::MSK::Cluster"):
        if cluster.properties["EncryptionInfo"].get("EncryptionInTransit") != {
            "ClientBroker": "TLS",
            "InCluster": True,
        }:
            found.append(f"{cluster} takes plain text")
    for connector in deployment.of("AWS::KafkaConnect::Connector"):
        if connector.properties["KafkaClusterEncryptionInTransit"] != {"EncryptionType": "TLS"}:
            found.append(f"{connector} speaks plain text")
    for listener in deployment.of("AWS::ElasticLoadBalancingV2::Listener"):
        if listener.properties["Protocol"] != "HTTPS" or not listener.properties.get("Certificates"):
            found.append(f"{listener} has a certificate and does not use it")
    closed = {
        policy.properties["Bucket"]["Ref"]
        for policy in deployment.of("AWS::S3::BucketPolicy")
        for statement in statements(policy.properties["PolicyDocument"])
        if statement["Effect"] == "Deny" and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
    }
    found += [f"{bucket} takes plain HTTP" for bucket in deployment.of("AWS::S3::Bucket") if bucket.name not in closed]
    return found


def _plain_clients(documents: Documents) -> None:
    transit = properties(documents, "kafka", "Cluster")["EncryptionInfo"]["EncryptionInTransit"]
    transit["ClientBroker"] = "TLS_PLAINTEXT"


def _plain_bucket(documents: Documents) -> None:
    del documents["data"]["Resources"]["LakeBucketPolicy"]


def _plain_listener(documents: Documents) -> None:
    properties(documents, "proxy", "Listener")["Protocol"] = "HTTP"


def brokers(deployment: Deployment) -> list[str]:
    found = []
    for cluster in deployment.of("AWS::MSK::Cluster"):
        is_ = cluster.properties
        monitoring = is_.get("EnhancedMonitoring", "DEFAULT")
        wants = {
            "lets identities be left out": is_["ClientAuthentication"]["Unauthenticated"] == {"Enabled": False},
            "does not ask for IAM": is_["ClientAuthentication"]["Sasl"]["Iam"] == {"Enabled": True},
            "has a second way in": is_["ClientAuthentication"]["Sasl"]["Scram"] == {"Enabled": False}
            and is_["ClientAuthentication"]["Tls"] == {"Enabled": False},
            "is public": is_["BrokerNodeGroupInfo"]["ConnectivityInfo"] == {"PublicAccess": {"Type": "DISABLED"}},
            "does not log": is_.get("LoggingInfo", {}).get("BrokerLogs", {}).get("CloudWatchLogs", {}).get("Enabled")
            is True,
            "is not watched": monitoring.startswith("PER_"),
        }
        found += [f"{cluster} {what}" for what, holds in wants.items() if not holds]
    for connector in deployment.of("AWS::KafkaConnect::Connector"):
        logs: Any = connector.properties.get("LogDelivery", {}).get("WorkerLogDelivery", {})
        if logs.get("CloudWatchLogs", {}).get("Enabled") is not True:
            found.append(f"{connector} does not log")
        if connector.properties["KafkaClusterClientAuthentication"] != {"AuthenticationType": "IAM"}:
            found.append(f"{connector} has no identity")
    return found


def _anybody(documents: Documents) -> None:
    properties(documents, "kafka", "Cluster")["ClientAuthentication"]["Unauthenticated"]["Enabled"] = True


def _public(documents: Documents) -> None:
    connectivity = properties(documents, "kafka", "Cluster")["BrokerNodeGroupInfo"]["ConnectivityInfo"]
    connectivity["PublicAccess"]["Type"] = "SERVICE_PROVIDED_EIPS"


def _silent_connector(documents: Documents) -> None:
    del properties(documents, "connect", "DeadLetters")["LogDelivery"]


def ingress(deployment: Deployment) -> list[str]:
    found = []
    own: dict[str, list[Any]] = {group.name: [] for group in deployment.of("AWS::EC2::SecurityGroup")}
    for group in deployment.of("AWS::EC2::SecurityGroup"):
        own[group.name] += group.properties.get("SecurityGroupIngress", [])
    for alone in deployment.of("AWS::EC2::SecurityGroupIngress"):
        own[alone.properties["GroupId"]["Fn::GetAtt"][0]].append(alone.properties)
    for name, rules in own.items():
        for rule in rules:
            if _OPEN & {rule.get("CidrIp"), rule.get("CidrIpv6")}:
                found.append(f"{name} is open to everybody")
            if name == "BrokerGroup" and (
                (rule.get("FromPort"), rule.get("ToPort")) != (9098, 9098) or "SourceSecurityGroupId" not in rule
            ):
                found.append("brokers take more than the IAM port of named groups")
    if [rule.get("SourceSecurityGroupId") for rule in own["MwaaGroup"]] != [{"Fn::GetAtt": ["MwaaGroup", "GroupId"]}]:
        found.append("Airflow's group does not refer to itself alone")
    if own["ClientGroup"]:
        found.append("the client host can be reached")
    return found


def _open_brokers(documents: Documents) -> None:
    properties(documents, "network", "BrokerGroup")["SecurityGroupIngress"].append(
        {"IpProtocol": "tcp", "FromPort": 9098, "ToPort": 9098, "CidrIp": "0.0.0.0/0"}
    )


def _open_airflow(documents: Documents) -> None:
    rule = properties(documents, "network", "MwaaToItself")
    del rule["SourceSecurityGroupId"]
    rule["CidrIpv6"] = "::/0"


def _ssh(documents: Documents) -> None:
    properties(documents, "network", "ClientGroup")["SecurityGroupIngress"] = [
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.0.0.0/8"}
    ]


def endpoints(deployment: Deployment) -> list[str]:
    there = {e.properties["ServiceName"].split(".", 3)[3]: e for e in deployment.of("AWS::EC2::VPCEndpoint")}
    found = [f"there is no endpoint of {service}" for service in sorted(_ENDPOINTS - set(there))]
    found += [
        f"{endpoint} has no private name"
        for service, endpoint in there.items()
        if service != "s3" and endpoint.properties.get("PrivateDnsEnabled") is not True
    ]
    return found


def _no_sts(documents: Documents) -> None:
    del documents["network"]["Resources"]["StsEndpoint"]


RULES = [
    Rule(
        2,
        "nothing is sent in plain text",
        encrypted_transport,
        {"plain clients": _plain_clients, "a bucket by HTTP": _plain_bucket, "a plain listener": _plain_listener},
    ),
    Rule(
        3,
        "brokers ask for an IAM identity, are private, logged and watched",
        brokers,
        {"no identity": _anybody, "public brokers": _public, "a silent connector": _silent_connector},
    ),
    Rule(
        5,
        "each group names its callers",
        ingress,
        {"brokers for everybody": _open_brokers, "Airflow for everybody": _open_airflow, "a door for SSH": _ssh},
    ),
    Rule(7, "AWS is reached without the Internet", endpoints, {"no STS": _no_sts}),
]
