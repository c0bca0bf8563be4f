"""Settings of the mirror, from the environment."""

from typing import Annotated

from pipeline_contracts.names import checked_id
from pydantic import AfterValidator, Field, StringConstraints
from pydantic_settings import SettingsConfigDict
from service_kit.settings import LogLevel, PlainSecret, ServiceSettings

HttpOrigin = Annotated[str, StringConstraints(pattern=r"^https?://[^/ ]+/?$")]


class MirrorSettings(ServiceSettings):
    """Where to deploy what; the local defaults are those of ``.env``."""

    model_config = SettingsConfigDict(env_prefix="MIRROR_")

    allowed_hosts: str = Field("", validation_alias="ALLOWED_HOSTS")
    host: str = "127.0.0.1"
    port: int = Field(8094, ge=0, le=65535)
    check_seconds: float = Field(2.0, gt=0)
    log_level: LogLevel = "INFO"
    pipeline_id: Annotated[str, AfterValidator(checked_id)] = Field("pinterest", validation_alias="PIPELINE_ID")
    aws_endpoint_url: HttpOrigin = Field("http://localhost:4566", validation_alias="AWS_ENDPOINT_URL")
    aws_region: str = Field("us-east-1", validation_alias="AWS_REGION")
    kafka_bootstrap_servers: str = Field("localhost:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    proxy_url: HttpOrigin = Field("http://localhost:8082", validation_alias="PROXY_URL")
    gateway_api_key: PlainSecret = Field(validation_alias="GATEWAY_API_KEY")
    gateway_admin_key: PlainSecret | None = Field(None, validation_alias="GATEWAY_ADMIN_KEY")
