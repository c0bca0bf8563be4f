"""Settings of the sink, from the environment."""

from pathlib import Path
from typing import Annotated

from pipeline_contracts.names import checked_id
from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict
from service_kit.settings import LogLevel, ServiceSettings


class Settings(ServiceSettings):
    """See the table in ``README.md``."""

    model_config = SettingsConfigDict(env_prefix="S3_SINK_")

    pipeline_id: Annotated[str, AfterValidator(checked_id)] = Field(default="pinterest", validation_alias="PIPELINE_ID")
    kafka_bootstrap_servers: str = Field(default="localhost:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    aws_endpoint_url: str | None = Field(default=None, validation_alias="AWS_ENDPOINT_URL")
    aws_region: str = Field(default="us-east-1", validation_alias="AWS_REGION")

    allowed_hosts: str = Field(default="", validation_alias="ALLOWED_HOSTS")
    host: str = "127.0.0.1"
    port: int = Field(default=8091, ge=0, le=65535)
    log_level: LogLevel = "INFO"
    connectors_dir: Path = Path("deploy/aws/connectors")
    flush_interval_ms: int = Field(default=2_000, ge=1)
    max_buffer_bytes: int = Field(default=8 * 1024 * 1024, ge=1)
    max_total_bytes: int = Field(default=64 * 1024 * 1024, ge=1)
    log_check_interval_ms: int = Field(default=1_000, ge=1)
    verify_interval_ms: int = Field(default=10_000, ge=1)
    uploads: int = Field(default=4, ge=1, le=64)
    request_timeout_ms: int = Field(default=5_000, ge=100, le=6_000)
    stop_deadline_ms: int = Field(default=8_000, ge=0, le=10_000)
    stuck_after_ms: int = Field(default=60_000, ge=1)

    def placeholders(self) -> dict[str, str]:
        """What ``${…}`` in a connector file stands for."""
        return {
            "PIPELINE_ID": self.pipeline_id,
            "AWS_REGION": self.aws_region,
            "FLUSH_INTERVAL_MS": str(self.flush_interval_ms),
        }
