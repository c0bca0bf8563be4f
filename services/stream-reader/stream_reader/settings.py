"""Settings of the stream reader (``STREAM_READER_…`` and what all services share)."""

from pathlib import Path
from typing import Annotated

from pipeline_contracts.names import Names, checked_id
from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict
from service_kit.settings import LogLevel, ServiceSettings
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig

MIB = 1024 * 1024


class LakeSettings(ServiceSettings):
    """Whose tables, and where they are."""

    pipeline_id: Annotated[str, AfterValidator(checked_id)] = Field("pinterest", validation_alias="PIPELINE_ID")
    lake_uri: str = Field(validation_alias="LAKE_URI")
    aws_endpoint_url: str | None = Field(None, validation_alias="AWS_ENDPOINT_URL")
    aws_region: str = Field("us-east-1", validation_alias="AWS_REGION")
    log_level: LogLevel = "INFO"
    state_dir: Path

    @property
    def names(self) -> Names:
        """Names of this deployment."""
        return Names(self.pipeline_id)

    @property
    def storage_options(self) -> dict[str, str]:
        """For delta-rs, where the lake is in S3; keys and roles are found as boto3 does."""
        if not self.lake_uri.startswith("s3://"):
            return {}
        # S3 itself refuses the second of two commits of one version (conditional writes).
        options = {"AWS_REGION": self.aws_region, "aws_conditional_put": "etag"}
        if self.aws_endpoint_url is not None:
            options |= {"AWS_ENDPOINT_URL": self.aws_endpoint_url, "AWS_ALLOW_HTTP": "true"}
        return options


class Settings(LakeSettings):
    """See the table in ``README.md``."""

    model_config = SettingsConfigDict(env_prefix="STREAM_READER_")

    jars_dir: Path | None = Field(None, validation_alias="SPARK_JARS_DIR")
    archive_dir: Path | None = Field(None, validation_alias="SPARK_ARCHIVE_DIR")

    allowed_hosts: str = Field("", validation_alias="ALLOWED_HOSTS")
    host: str = "127.0.0.1"
    port: int = Field(8092, ge=0, le=65_535)
    heap: str = "768m"
    cores: int = Field(2, ge=1)
    short_lived: bool = False
    rehearse: bool = True
    lock_wait_s: float = Field(20.0, ge=0)
    stop_s: float = Field(15.0, gt=0)
    jvm_stop_s: float = Field(5.0, gt=0)

    trigger_interval_ms: int = Field(1_000, ge=0)
    max_records: int = Field(20_000, ge=1)
    poll_interval_ms: int = Field(250, ge=50)
    fetch_buffer_mib: int = Field(32, ge=1)
    source_retry_s: float = Field(15.0, ge=0)
    fail_on_data_loss: bool = True
    describe_interval_s: float = Field(5.0, gt=0)
    restart_first_wait_s: float = Field(1.0, gt=0)
    restart_longest_wait_s: float = Field(30.0, gt=0)
    lag_limit_s: float = Field(60.0, gt=0)
    reject_minimum: int = Field(1_000, ge=1)
    reject_ratio: float = Field(0.5, ge=0, lt=1)

    half_life_s: float = Field(3_600.0, gt=0)
    popularity_interval_s: float = Field(0.1, ge=0)
    popularity_lag_limit_s: float = Field(60.0, gt=0)
    profiles_commit_s: float = Field(4.0, ge=0)
    profiles_mib_per_s: float = Field(1.0, gt=0)
    waiting_mib: int = Field(64, ge=1)

    upkeep_interval_s: float = Field(300.0, gt=0)
    compact_files: int = Field(64, ge=2)
    compact_mib: int = Field(64, ge=1)
    retention_h: float = Field(168.0, ge=0)
    profiles_retention_h: float = Field(1.0, ge=0)

    @property
    def rehearses(self) -> bool:
        """Whether the first batch is rehearsed: a run of a minute has no use for it."""
        return self.rehearse and not self.short_lived

    def session(self) -> SessionConfig:
        """The Spark session of this process. Its scratch folder is emptied: build it when the fence is held."""
        return SessionConfig(
            app_name=f"{self.pipeline_id}-stream-reader",
            jvm=JvmConfig(
                jars_dir=self.jars_dir, archive_dir=self.archive_dir, heap=self.heap, short_lived=self.short_lived
            ),
            cores=self.cores,
            scratch_dir=self.state_dir / "scratch",
            s3_endpoint_url=self.aws_endpoint_url,
            s3_region=self.aws_region,
            conf=SMALL_BATCHES,
        )


SMALL_BATCHES = {
    # Three queries and the popularity share the cores; none may keep the others waiting.
    "spark.scheduler.mode": "FAIR",
    # Planning a batch of some hundred rows in several steps takes longer than running it.
    "spark.sql.adaptive.enabled": "false",
    # Records of up to 1 MB: bounded by bytes, not by rows alone.
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 * MIB),
    "spark.sql.streaming.minBatchesToRetain": "20",
    # One file per commit in place of four: no checksum file beside each file, where files are local.
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
}
"""Spark's configuration for many small batches."""
