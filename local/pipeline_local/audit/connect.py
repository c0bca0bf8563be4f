"""The stages of an installation, by its settings."""

from pipeline_local.audit.reach import ObjectReach
from pipeline_local.audit.stages import KafkaStage, ObjectStage, objects_client
from pipeline_local.audit.stream_stage import KinesisStage
from pipeline_local.installation import Installation


def object_stage(installation: Installation) -> ObjectStage:
    """The bucket of an installation."""
    environment = installation.service("s3-sink").environment
    return ObjectStage.connect(
        environment["AWS_ENDPOINT_URL"],
        environment["AWS_REGION"],
        installation.names.bucket,
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
    )


def object_reach(installation: Installation) -> ObjectReach:
    """How far the objects of an installation go."""
    environment = installation.service("s3-sink").environment
    client = objects_client(
        environment["AWS_ENDPOINT_URL"],
        environment["AWS_REGION"],
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
    )
    return ObjectReach(client, installation.names.bucket)


def kafka_stage(installation: Installation) -> KafkaStage:
    """The broker of an installation."""
    return KafkaStage(installation.service("s3-sink").environment["KAFKA_BOOTSTRAP_SERVERS"])


def kinesis_stage(installation: Installation) -> KinesisStage:
    """The streams of an installation."""
    environment = installation.service("mirror").environment
    return KinesisStage.connect(
        environment["AWS_ENDPOINT_URL"],
        environment["AWS_REGION"],
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
    )
