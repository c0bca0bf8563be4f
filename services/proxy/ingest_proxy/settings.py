"""Settings of the proxy (``PROXY_…`` and what all services share)."""

from typing import Annotated, Any, Self

from pipeline_contracts.events import MAX_RECORD_BYTES
from pipeline_contracts.names import Names, checked_id
from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict
from service_kit.settings import LogLevel, ServiceSettings

from ingest_proxy.login import Authentication, login_settings

GATEWAY_PATIENCE_S = 25.0
"""The gateway gives up at 29 s; an answer later than this may not reach the sender."""

# Between the last delivery report and the answer: a reading of the topic's id, behind one that is under way.
_ROOM_AFTER_DELIVERY_S = 4.0


class ProxySettings(ServiceSettings):
    """Where to listen, which broker, and the limits of one request."""

    model_config = SettingsConfigDict(env_prefix="PROXY_", populate_by_name=True)

    pipeline_id: Annotated[str, AfterValidator(checked_id)] = Field(default="pinterest", validation_alias="PIPELINE_ID")
    bootstrap_servers: str = Field(default="localhost:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS", min_length=1)
    authentication: Authentication = Field(default="none", validation_alias="KAFKA_AUTHENTICATION")
    aws_region: str | None = Field(default=None, validation_alias="AWS_REGION")
    path_prefix: str = Field(default="", pattern=r"^(/[A-Za-z0-9_-]+)*$")
    allowed_hosts: str = Field(default="", validation_alias="ALLOWED_HOSTS")
    host: str = "127.0.0.1"
    port: int = Field(default=8082, ge=1, le=65535)
    threads: int = Field(default=32, ge=1, le=512)
    log_level: LogLevel = "INFO"

    max_body_bytes: int = Field(default=10 * 1024 * 1024, ge=1024)
    max_records: int = Field(default=100_000, ge=1)
    max_record_bytes: int = Field(default=MAX_RECORD_BYTES, ge=1024, le=100_000_000)

    linger_ms: float = Field(default=2.0, ge=0, le=1000)
    delivery_timeout_ms: int = Field(default=10_000, ge=1000)
    answer_timeout_s: float = Field(default=24.0, gt=0, le=GATEWAY_PATIENCE_S)
    queue_max_records: int = Field(default=400_000, ge=1, le=10_000_000)
    queue_max_kbytes: int = Field(default=131_072, ge=1024, le=2_097_151)
    retry_after_s: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _delivery_ends_before_the_answer(self) -> Self:
        if self.delivery_timeout_ms / 1000 > self.send_timeout_s:
            msg = (
                f"PROXY_DELIVERY_TIMEOUT_MS ({self.delivery_timeout_ms}) must end {_ROOM_AFTER_DELIVERY_S:.0f} s "
                f"before PROXY_ANSWER_TIMEOUT_S ({self.answer_timeout_s}), or answers are given before the outcome"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _iam_has_a_region(self) -> Self:
        if self.authentication == "aws-msk-iam" and not self.aws_region:
            msg = "KAFKA_AUTHENTICATION is aws-msk-iam, so AWS_REGION must name the cluster's region"
            raise ValueError(msg)
        return self

    @property
    def login(self) -> dict[str, Any]:
        """How Kafka clients sign in."""
        return login_settings(self.authentication, self.aws_region)

    @property
    def send_timeout_s(self) -> float:
        """How long a request may wait for acknowledgements, so that the answer as a whole is in time."""
        return self.answer_timeout_s - _ROOM_AFTER_DELIVERY_S

    @property
    def names(self) -> Names:
        """Names of this deployment."""
        return Names(self.pipeline_id)
