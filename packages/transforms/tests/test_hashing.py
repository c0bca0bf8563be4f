"""The column equals the function that senders use."""

import pytest
from pipeline_contracts.content import content_hash
from pipeline_transforms.hashing import with_content_hash
from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def test_hash_is_the_contracts_hash(spark: SparkSession) -> None:
    texts = ['{"b":1,"a":"día 🎄"}', '{"a": "d\\u00eda 🎄", "b": 1}', "not JSON", "", None]
    rows = with_content_hash(spark.createDataFrame([(text,) for text in texts], "value string")).collect()
    assert [row["content_hash"] for row in rows] == [content_hash(t.encode() if t is not None else None) for t in texts]
    assert rows[0]["content_hash"] == rows[1]["content_hash"]
