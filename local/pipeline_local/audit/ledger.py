"""The emitter's acknowledgements, as columns for the judges."""

from typing import Final

import pyarrow as pa
from emitter.errors import LedgerError
from emitter.ledger_reader import LedgerReader
from pipeline_contracts.audits import PathName

from pipeline_local import sent
from pipeline_local.audit.fates import Acknowledged
from pipeline_local.audit.stages import StageUnreachableError
from pipeline_local.audit.stream_stage import StreamRecords
from pipeline_local.layout import Layout

_SCHEMAS: Final[dict[PathName, pa.Schema]] = {"batch": Acknowledged, "stream": StreamRecords}


def read_ledger(layout: Layout, path: PathName) -> pa.Table:
    """The acknowledgements of one path: ``Acknowledged`` of batch, ``StreamRecords``; none before the first send.

    Raises:
        StageUnreachableError: the file is there and is no ledger; or it is gone, as what outlives it tells.
    """
    file = layout.ledger
    if (trouble := sent.gone(layout)) is not None:
        raise StageUnreachableError(trouble)
    names: list[str] = []
    log_ids: list[str] = []
    partitions: list[int | str] = []
    offsets: list[int | str] = []
    hashes: list[str] = []
    if file.exists():
        try:
            with LedgerReader(file) as ledger:
                for group in ledger.acknowledged():
                    if group.path != path:
                        continue
                    partition = int(group.partition) if path == "batch" else group.partition
                    for coordinate in ledger.coordinates(group.path, group.name, group.log_id, group.partition):
                        names.append(group.name)
                        log_ids.append(group.log_id)
                        partitions.append(partition)
                        offsets.append(coordinate.offset)
                        hashes.append(coordinate.content_hash)
        except LedgerError as error:
            raise StageUnreachableError(str(error)) from error
    return pa.table([names, log_ids, partitions, offsets, hashes], schema=_SCHEMAS[path])
