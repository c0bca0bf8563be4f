"""Reads all stages of an installation in the right order and has them judged."""

from pathlib import Path

import pyarrow as pa
from emitter.errors import LedgerError
from emitter.ledger_reader import Acknowledged as Group
from emitter.ledger_reader import LedgerReader

from pipeline_local.audit.fates import Acknowledged, Stages, audit
from pipeline_local.audit.report import Audit
from pipeline_local.audit.stages import StageUnreachableError
from pipeline_local.flow import kafka_stage, object_stage
from pipeline_local.installation import Installation
from pipeline_local.lake import Lake


def audit_batch_path(installation: Installation) -> Audit:
    """Account for every record of the batch path.

    The ledger is read first, then the watermarks: a record acknowledged meanwhile is not asked for, and what the
    log takes after its watermark was read is not counted.

    Raises:
        StageUnreachableError: Kafka, the bucket or the ledger cannot be read.
    """
    names = installation.names
    acknowledged = read_ledger(installation.layout.ledger)
    kafka = kafka_stage(installation)
    *logs, dead_letter_log = kafka.watermarks([*names.topics, names.dead_letter_topic])
    dead = kafka.dead_letters(dead_letter_log)
    covered = object_stage(installation).covered(list(names.topics))
    lake = Lake(installation.layout.lake)
    return audit(names, lake, Stages(logs, covered, dead, acknowledged))


def read_ledger(file: Path) -> pa.Table:
    """The acknowledgements of the batch path, as columns of ``Acknowledged``; none when nothing was ever sent.

    Raises:
        StageUnreachableError: the file is there and is no ledger.
    """
    columns: dict[str, list[object]] = {name: [] for name in Acknowledged.names}
    if file.exists():
        try:
            with LedgerReader(file) as ledger:
                for group in ledger.acknowledged():
                    if group.path == "batch":
                        _add(columns, group, ledger)
        except LedgerError as error:
            raise StageUnreachableError(str(error)) from error
    return pa.table(columns, schema=Acknowledged)


def _add(columns: dict[str, list[object]], group: Group, ledger: LedgerReader) -> None:
    for coordinate in ledger.coordinates(group.path, group.name, group.log_id, group.partition):
        columns["topic"].append(group.name)
        columns["log_id"].append(group.log_id)
        columns["partition"].append(int(group.partition))
        columns["offset"].append(int(coordinate.offset))
        columns["content_hash"].append(coordinate.content_hash)
