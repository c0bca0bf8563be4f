"""An archive of loaded classes, made once, with which every later JVM starts faster.

It is made by an explicit step and not at the end of the first session, because writing it takes longer than a
service has to end.
"""

import tempfile
from pathlib import Path

from pyspark.sql import SparkSession

from spark_kit.jvm import JvmConfig, JvmError, archive_path, class_path, java_binary
from spark_kit.session import SessionConfig, build_session, stop_session

WRITE_DEADLINE_S = 180.0


def make_archive(archive_dir: Path, jars_dir: Path | None) -> Path:
    """Run a little of everything in a JVM of its own, and have it write its archive; at once if there is one.

    Blocks for some tens of seconds. This process must have no session.

    Raises:
        JvmError: the JVM wrote no archive, or none in time.
    """
    path = archive_path(archive_dir, java_binary(), class_path(jars_dir))
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="archive-", dir=path.parent) as folder:
        recorded = Path(folder) / path.name
        jvm = JvmConfig(jars_dir=jars_dir, short_lived=True)
        # Not the folder itself: scratch is deleted with the JVM, and the archive is there only then.
        config = SessionConfig("archive", jvm, scratch_dir=Path(folder) / "scratch")
        spark = build_session(config, record_archive=recorded)
        try:
            _use_much(spark, Path(folder) / "table", "parquet" if jars_dir is None else "delta")
        finally:
            stop_session(spark, WRITE_DEADLINE_S)
        if not recorded.exists():
            msg = f"the JVM wrote no class archive to {path.parent} within {WRITE_DEADLINE_S:g} s"
            raise JvmError(msg)
        recorded.replace(path)
    return path


def _use_much(spark: SparkSession, table: Path, form: str) -> None:
    """What is loaded here need not be loaded again."""
    rows = spark.range(100).selectExpr("id", "id % 7 AS part", """from_json('{"a":1}', 'a string').a AS text""")
    for mode in ("overwrite", "append"):
        rows.write.format(form).mode(mode).save(str(table))
    stored = spark.read.format(form).load(str(table))
    stored.groupBy("part").agg({"id": "max", "text": "count"}).join(stored, "part").orderBy("id").collect()
    if form == "delta":
        rows.createOrReplaceTempView("fresh")
        spark.sql(
            f"MERGE INTO delta.`{table}` AS old USING fresh ON old.id = fresh.id AND old.part = fresh.id "
            "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )
