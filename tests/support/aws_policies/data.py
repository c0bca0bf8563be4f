"""Lines 1, 4, 10, 11, 14: what holds data."""

from typing import Any

from aws_deploy.wanted import NEEDS, STATEFUL, StackKind
from rendered import stack

from aws_policies.deployment import Deployment, Documents, Resource, Rule, properties

# The log delivery service writes no objects under a customer's key.
_NO_KEY = {"AccessLogBucket"}
_KEY_OF = {
    "AWS::MSK::Cluster": ("EncryptionInfo", "EncryptionAtRest", "DataVolumeKMSKeyId"),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::MWAA::Environment": ("KmsKey",),
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::SecretsManager::Secret": ("KmsKeyId",),
    "AWS::ECR::Repository": ("EncryptionConfiguration", "KmsKey"),
    "AWS::EFS::FileSystem": ("KmsKeyId",),
    "AWS::Kinesis::Stream": ("StreamEncryption", "KeyId"),
}
_HOLDS_DATA = {
    "AWS::S3::Bucket",
    "AWS::Kinesis::Stream",
    "AWS::KMS::Key",
    "AWS::MSK::Cluster",
    "AWS::MSK::Topic",
    "AWS::ECR::Repository",
    "AWS::EFS::FileSystem",
}
_NAMELESS = {"AWS::KMS::Key", "AWS::EFS::FileSystem"}
"""Of these, no later stack finds one that a failed creation has left."""
_MUST_STATE = _HOLDS_DATA | {"AWS::Logs::LogGroup", "AWS::SecretsManager::Secret"}


def _at(node: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        node = node.get(key, {}) if isinstance(node, dict) else {}
    return node


def keys(deployment: Deployment) -> list[str]:
    found = [
        f"{key} does not rotate"
        for key in deployment.of("AWS::KMS::Key")
        if key.properties.get("EnableKeyRotation") is not True
    ]
    found += [
        f"{key} has no tag, by which roles know it"
        for key in deployment.of("AWS::KMS::Key")
        if key.properties.get("Tags") != [{"Key": "project", "Value": "pinterest"}]
    ]
    found += [f"{r} has no key" for r in deployment.of(*_KEY_OF) if not _at(r.properties, _KEY_OF[r.kind])]
    for bucket in deployment.of("AWS::S3::Bucket"):
        [rule] = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        if bucket.name not in _NO_KEY and not (
            rule.get("BucketKeyEnabled") is True and rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID")
        ):
            found.append(f"{bucket} has no bucket key")
    return found


def _no_stream_key(documents: Documents) -> None:
    properties(documents, "streams", "GeoStream").pop("StreamEncryption")


def _no_log_key(documents: Documents) -> None:
    properties(documents, "connect", "Log").pop("KmsKeyId")


def _no_rotation(documents: Documents) -> None:
    properties(documents, "data", "Key")["EnableKeyRotation"] = False


def _untagged_key(documents: Documents) -> None:
    properties(documents, "data", "Key").pop("Tags", None)


def _plain_bucket(documents: Documents) -> None:
    encryption = {"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    properties(documents, "data", "LakeBucket")["BucketEncryption"] = encryption


def buckets(deployment: Deployment) -> list[str]:
    found = []
    for bucket in deployment.of("AWS::S3::Bucket"):
        closed = bucket.properties.get("PublicAccessBlockConfiguration", {})
        rules = bucket.properties.get("LifecycleConfiguration", {}).get("Rules", [])
        aborts = [rule["AbortIncompleteMultipartUpload"] for rule in rules if "AbortIncompleteMultipartUpload" in rule]
        wants = {
            "is not closed": len(closed) == 4 and set(closed.values()) == {True},
            "has other owners": bucket.properties.get("OwnershipControls")
            == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "has no versions": bucket.properties.get("VersioningConfiguration") == {"Status": "Enabled"},
            "keeps unfinished uploads": any(1 <= int(rule["DaysAfterInitiation"]) <= 7 for rule in aborts),
            "is not logged": bucket.name in _NO_KEY or "LoggingConfiguration" in bucket.properties,
            "is not retained": bucket.whole.get("DeletionPolicy") == "Retain",
        }
        found += [f"{bucket} {what}" for what, holds in wants.items() if not holds]
    return found


def _without(name: str, kind: StackKind, key: str) -> Any:
    def broken(documents: Documents) -> None:
        properties(documents, kind, name).pop(key)

    return broken


def _half_closed(documents: Documents) -> None:
    properties(documents, "data", "RawBucket")["PublicAccessBlockConfiguration"]["BlockPublicAcls"] = False


def kafka(deployment: Deployment) -> list[str]:
    [configuration] = deployment.of("AWS::MSK::Configuration")
    lines = set(configuration.properties["ServerProperties"].split())
    needed = {
        "auto.create.topics.enable=false",
        "default.replication.factor=3",
        "min.insync.replicas=2",
        "unclean.leader.election.enable=false",
    }
    found = [f"brokers lack {line}" for line in sorted(needed - lines)]
    topics = list(deployment.of("AWS::MSK::Topic"))
    for topic in topics:
        settings = topic.properties["Configs"]["Fn::Base64"]
        if topic.properties["ReplicationFactor"] != 3:
            found.append(f"{topic} has not three copies")
        for text in ('"min.insync.replicas":"2"', '"retention.ms":"', '"message.timestamp.type":"LogAppendTime"'):
            if text not in settings:
                found.append(f"{topic} lacks {text}")
    if not any(topic.properties["TopicName"].endswith(".dlq") for topic in topics):
        found.append("there is no dead-letter topic")
    return found


def _unclean(documents: Documents) -> None:
    configuration = properties(documents, "kafka", "Configuration")
    configuration["ServerProperties"] = configuration["ServerProperties"].replace(
        "leader.election.enable=false", "leader.election.enable=true"
    )


def _two_copies(documents: Documents) -> None:
    properties(documents, "kafka", "PinTopic")["ReplicationFactor"] = 2


def _no_dead_letters(documents: Documents) -> None:
    del documents["kafka"]["Resources"]["DeadLetterTopic"]


def streams(deployment: Deployment) -> list[str]:
    found = [f"{consumer} is not needed" for consumer in deployment.of("AWS::Kinesis::StreamConsumer")]
    for stream in deployment.of("AWS::Kinesis::Stream"):
        if int(stream.properties.get("RetentionPeriodHours", 24)) < 168:
            found.append(f"{stream} cannot be replayed for a week")
        mode = stream.properties.get("StreamModeDetails", {}).get("StreamMode")
        if mode not in {"ON_DEMAND", "PROVISIONED"} or (mode == "PROVISIONED") != ("ShardCount" in stream.properties):
            found.append(f"{stream} is neither on demand nor sized")
    return found


def kept(deployment: Deployment) -> list[str]:
    found = [
        f"{resource} states no {policy}"
        for resource in deployment.of(*_MUST_STATE)
        for policy in ("DeletionPolicy", "UpdateReplacePolicy")
        if policy not in resource.whole
    ]
    found += [
        f"{resource} is not retained"
        for resource in deployment.of(*_HOLDS_DATA)
        # What a new stack may take over must outlive a creation that fails, too.
        if resource.whole.get("DeletionPolicy") != ("RetainExceptOnCreate" if resource.kind in _NAMELESS else "Retain")
    ]
    for kind in NEEDS:
        made = stack(kind, "prod")
        if set(made.tags) != {"project", "env", "owner", "size"}:
            found.append(f"{kind} lacks tags")
        if made.protected != (kind in STATEFUL):
            found.append(f"{kind} is not protected")
    found += [f"stack {r.stack} holds {r.name}" for r in _unprotected(deployment)]
    return found


def _unprotected(deployment: Deployment) -> list[Resource]:
    """What holds events, outside the stacks that are protected."""
    holders = deployment.of("AWS::S3::Bucket", "AWS::Kinesis::Stream", "AWS::MSK::Cluster")
    return [resource for resource in holders if resource.stack not in STATEFUL]


def _deleted_cluster(documents: Documents) -> None:
    documents["kafka"]["Resources"]["Cluster"]["DeletionPolicy"] = "Delete"


def _unstated_secret(documents: Documents) -> None:
    del documents["mwaa"]["Resources"]["DatabricksConnection"]["DeletionPolicy"]


def _bucket_elsewhere(documents: Documents) -> None:
    documents["mwaa"]["Resources"]["Bucket"] = documents["data"]["Resources"]["LakeBucket"]
    documents["mwaa"]["Resources"]["Bucket"].pop("Condition")


RULES = [
    Rule(
        1,
        "all that is at rest is under our key, which rotates",
        keys,
        {
            "a stream without a key": _no_stream_key,
            "a log without a key": _no_log_key,
            "a key that stays": _no_rotation,
            "a key without a tag": _untagged_key,
            "a bucket under S3's key": _plain_bucket,
        },
    ),
    Rule(
        4,
        "buckets are closed, versioned, logged, tidied and kept",
        buckets,
        {
            "one door open": _half_closed,
            "no versions": _without("LakeBucket", "data", "VersioningConfiguration"),
            "no access log": _without("ArtifactBucket", "data", "LoggingConfiguration"),
            "no tidying": _without("RawBucket", "data", "LifecycleConfiguration"),
        },
    ),
    Rule(
        10,
        "an acknowledged record is on two brokers, and nothing is created by accident",
        kafka,
        {"unclean leaders": _unclean, "two copies": _two_copies, "no dead-letter topic": _no_dead_letters},
    ),
    Rule(
        11,
        "streams are sized and can be replayed",
        streams,
        {
            "the default of one day": _without("PinStream", "streams", "RetentionPeriodHours"),
            "no shards": _without("PinStream", "streams", "ShardCount"),
        },
    ),
    Rule(
        14,
        "what holds data is retained, protected and tagged",
        kept,
        {
            "a cluster that goes with its stack": _deleted_cluster,
            "a secret without a policy": _unstated_secret,
            "a bucket in a stack without protection": _bucket_elsewhere,
        },
    ),
]
