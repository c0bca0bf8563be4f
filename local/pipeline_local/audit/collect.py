"""Reads all stages of an installation in the right order and has them judged."""

from collections.abc import Sequence

from pipeline_contracts.audits import PATHS, AuditRow, PathName

from pipeline_local.audit import fates, stream_fates
from pipeline_local.audit.connect import kafka_stage, kinesis_stage, object_stage
from pipeline_local.audit.ledger import read_ledger
from pipeline_local.audit.report import Audit
from pipeline_local.installation import Installation
from pipeline_local.lake import Lake


def audit_paths(installation: Installation, paths: Sequence[PathName] = PATHS) -> Audit:
    """Account for every record of the paths.

    The ledger is read first, then how far the logs go: a record acknowledged meanwhile is not asked for, and what
    a log takes after that is not counted. Dead letters are read after the objects that pass over them; then how far the
    logs go now, since what objects and ledger know may not lie beyond that. The lake is read last.

    Raises:
        StageUnreachableError: Kafka, the bucket, a stream or the ledger cannot be read.
    """
    rows: list[AuditRow] = []
    for path in paths:
        rows += _batch(installation) if path == "batch" else _stream(installation)
    return Audit(rows)


def _batch(installation: Installation) -> list[AuditRow]:
    names = installation.names
    acknowledged = read_ledger(installation.layout, "batch")
    kafka = kafka_stage(installation)
    logs = kafka.watermarks(list(names.topics))
    covered = object_stage(installation).covered(list(names.topics))
    (dead_letter_log,) = kafka.watermarks([names.dead_letter_topic])
    dead = kafka.dead_letters(dead_letter_log)
    after = kafka.watermarks(list(names.topics))
    lake = Lake(installation.layout.lake)
    with lake.named_damage():
        return fates.audit(names, lake, fates.Stages(logs, covered, dead, acknowledged, after))


def _stream(installation: Installation) -> list[AuditRow]:
    names = installation.names
    acknowledged = read_ledger(installation.layout, "stream")
    contents = kinesis_stage(installation).read(list(names.streams))
    lake = Lake(installation.layout.lake)
    with lake.named_damage():
        return stream_fates.audit(names, lake, stream_fates.StreamStages(contents, acknowledged))
