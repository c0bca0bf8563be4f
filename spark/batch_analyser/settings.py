"""What an analysis depends on, from the environment."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pipeline_contracts.names import Names, checked_id
from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict
from service_kit.settings import LogLevel, PlainSecret, ServiceSettings, check_reach
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig

MIB = 1024 * 1024


class AnalyserSettings(ServiceSettings):
    """Settings of every analyser process, service or command. ``README.md`` says what each one means."""

    model_config = SettingsConfigDict(env_prefix="ANALYSER_")

    pipeline_id: Annotated[str, AfterValidator(checked_id)] = Field("pinterest", validation_alias="PIPELINE_ID")
    lake_uri: str = Field(validation_alias="LAKE_URI")
    aws_endpoint_url: str | None = Field(None, validation_alias="AWS_ENDPOINT_URL")
    aws_region: str = Field("us-east-1", validation_alias="AWS_REGION")
    jars_dir: Path | None = Field(None, validation_alias="SPARK_JARS_DIR")
    archive_dir: Path | None = Field(None, validation_alias="SPARK_ARCHIVE_DIR")

    bucket_name: str | None = Field(None, validation_alias="ANALYSER_BUCKET")
    heap: str = "1g"
    cores: int = Field(2, ge=1)
    short_lived: bool = False
    lock_wait_s: float = Field(20.0, ge=0)

    fetch_threads: int = Field(8, ge=1)
    commit_objects: int = Field(20_000, ge=1)
    commit_mib: int = Field(128, ge=1)
    compact_files: int = Field(64, ge=2)

    @property
    def names(self) -> Names:
        """Names of this deployment."""
        return Names(self.pipeline_id)

    @property
    def bucket(self) -> str:
        """The bucket of raw objects."""
        return self.bucket_name or self.names.bucket

    def session(self) -> SessionConfig:
        """The Spark session of this process."""
        return SessionConfig(
            app_name=f"{self.pipeline_id}-analyser",
            jvm=JvmConfig(
                jars_dir=self.jars_dir, archive_dir=self.archive_dir, heap=self.heap, short_lived=self.short_lived
            ),
            cores=self.cores,
            s3_endpoint_url=self.aws_endpoint_url,
            s3_region=self.aws_region,
        )


class ServerSettings(AnalyserSettings):
    """Settings of the service. Without a token it listens on loopback only."""

    allowed_hosts: str = Field("", validation_alias="ALLOWED_HOSTS")
    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65_535)
    token: PlainSecret | None = None
    log_level: LogLevel = "INFO"
    state_dir: Path
    queue_limit: int = Field(16, ge=1)
    stop_s: float = Field(12.0, gt=0)

    def session(self) -> SessionConfig:
        """With one scratch folder, so that kills do not leave one each. It is built when the fence is held."""
        return replace(super().session(), scratch_dir=self.state_dir / "scratch")

    @model_validator(mode="after")
    def _token_beyond_loopback(self) -> Self:
        check_reach("ANALYSER_", self.host, self.token)
        return self
