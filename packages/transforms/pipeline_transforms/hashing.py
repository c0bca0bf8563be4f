"""The content hash of each record."""

from pipeline_contracts.content import content_hash
from pyspark.sql import DataFrame
from pyspark.sql import functions as fn
from pyspark.sql.types import StringType


def with_content_hash(records: DataFrame, column: str = "value") -> DataFrame:
    """The same rows with ``content_hash`` as last column; a null in ``column`` is a tombstone and has a hash, too.

    This is the one user-defined function of the package. Spark has no canonical form of JSON (sorted keys, one
    spelling per number), and the hash must be equal to the one that senders write into their ledgers, digit by
    digit; so it is computed by the same function, over Arrow batches. The text travels as bytes, which saves
    decoding it only to encode it again.
    """
    hashed = fn.udf(content_hash, StringType(), useArrow=True)
    kept = [fn.col(name) for name in records.columns]
    return records.select(*kept, hashed(fn.col(column).cast("binary")).alias("content_hash"))
