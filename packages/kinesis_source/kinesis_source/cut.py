"""A chunk in two, where a batch must end within it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kinesis_source import spool
from kinesis_source.planner import Chunk


def split(chunk: Chunk, rows: int) -> tuple[Chunk, Chunk] | None:
    """Cut a chunk after so many rows; its file stays one. None if the file is gone, or there is no place for a cut."""
    batch = spool.read(chunk.path, chunk.first_row, chunk.rows)
    if batch is None:
        return None
    numbers = batch.column("sequenceNumber")
    begins = pc.indices_nonzero(pc.not_equal(numbers[1:], numbers[:-1])).to_numpy() + 1
    if not len(begins):
        return None
    records = max(int(np.searchsorted(begins, rows, side="right")), 1)  # so many end by there
    cut = int(begins[records - 1])
    last, first = numbers[cut - 1].as_py(), numbers[cut].as_py()
    last_us, first_us = batch.column("approximateArrivalTimestamp").cast(pa.int64())[cut - 1 : cut + 1].to_pylist()
    size = chunk.size * cut // chunk.rows
    head = replace(chunk, last=last, records=records, rows=cut, size=size, last_ms=last_us // 1000)
    tail = replace(
        chunk,
        first=first,
        records=chunk.records - records,
        rows=chunk.rows - cut,
        size=chunk.size - size,
        first_row=chunk.first_row + cut,
        arrived_ms=first_us // 1000,
    )
    return head, tail
