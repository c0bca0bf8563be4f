"""Waits until what was sent lies in objects."""

import time

from pipeline_local.audit.stages import KafkaStage, ObjectStage, StageUnreachableError
from pipeline_local.installation import Installation, InstallationError

POLL_S = 0.5


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


def kafka_stage(installation: Installation) -> KafkaStage:
    """The broker of an installation."""
    return KafkaStage(installation.service("s3-sink").environment["KAFKA_BOOTSTRAP_SERVERS"])


def await_archived(installation: Installation, deadline_s: float) -> None:
    """Block until objects cover every record that the topics hold now.

    A stage that does not answer for a moment is asked again: the runner may be restarting it.

    Raises:
        InstallationError: records were still not archived at the deadline.
    """
    topics = list(installation.names.topics)
    kafka, bucket = kafka_stage(installation), object_stage(installation)
    deadline = time.monotonic() + deadline_s
    trouble = ""
    while time.monotonic() < deadline:
        try:
            logs = kafka.watermarks(topics)
            covered = bucket.covered(topics)
        except StageUnreachableError as error:
            trouble = f"; {error}"
        else:
            total = sum(log.high for log in logs)
            ids = {log.log_id for log in logs}
            done = sum(one.next - one.first for one in covered if one.log_id in ids)
            if done >= total:
                return
            trouble = f"; objects cover {done} of {total} offsets"
        time.sleep(POLL_S)
    raise InstallationError(
        f"records were not archived within {deadline_s:.0f} s{trouble}; "
        "see `pipeline status` and `pipeline logs s3-sink`"
    )
