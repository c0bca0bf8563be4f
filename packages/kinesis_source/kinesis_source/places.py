"""Which row of its shard a row is: the sequence number, and a number within the record for the rows of an aggregate.

Databricks' schema has no column for it: the sub-records of one Kinesis record are rows of one sequence number. They
come one after the other, in the order of the aggregate, in one batch and one task, each time they are read.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SEPARATOR = "."


def places(shard_ids: pa.ChunkedArray, sequence_numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """One text for each row, which is unique in the shard and always the same for the same sub-record.

    The first row of a record has its sequence number alone, as every record that is no aggregate; the further ones
    ``<sequence number>.<n>``, n from 1. The rows must be in the order in which the source gives them, of each record
    all or none.
    """
    count = len(sequence_numbers)
    if count < 2:
        return sequence_numbers
    same = pc.and_(_same_as_before(shard_ids), _same_as_before(sequence_numbers)).to_numpy(zero_copy_only=False)
    if not same.any():
        return sequence_numbers
    rows = np.arange(1, count)
    began = np.maximum.accumulate(np.where(same, 0, rows))
    numbers = pa.array(np.concatenate([[0], np.where(same, rows - began, 0)]))
    later = pc.binary_join_element_wise(sequence_numbers, pc.cast(numbers, pa.string()), SEPARATOR)
    return pc.if_else(pc.equal(numbers, 0), sequence_numbers, later)


def place_order(place: str) -> tuple[int, str, int]:
    """Sort key of the places of one shard: the sequence number as a number of any length, then the n."""
    number, _, sub = place.partition(SEPARATOR)
    return len(number), number, int(sub or 0)


def _same_as_before(values: pa.ChunkedArray) -> pa.Array:
    """For each row but the first."""
    whole = values.combine_chunks()
    return pc.equal(whole[1:], whole[:-1])
