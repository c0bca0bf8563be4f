"""Settings of the mirror, from the environment."""

import re
from typing import Annotated

from pipeline_contracts.names import checked_id
from pydantic import AfterValidator, Field, SecretStr, StringConstraints, field_validator
from pydantic_settings import SettingsConfigDict
from service_kit.settings import LogLevel, ServiceSettings

HttpOrigin = Annotated[str, StringConstraints(pattern=r"^https?://[^/ ]+/?$")]


class MirrorSettings(ServiceSettings):
    """Where to deploy what; the local defaults are those of ``.env``."""

    model_config = SettingsConfigDict(env_prefix="MIRROR_")

    host: str = "127.0.0.1"
    port: int = Field(8094, ge=0, le=65535)
    check_seconds: float = Field(2.0, gt=0)
    log_level: LogLevel = "INFO"
    pipeline_id: Annotated[str, AfterValidator(checked_id)] = Field("pinterest", validation_alias="PIPELINE_ID")
    aws_endpoint_url: HttpOrigin = Field("http://localhost:4566", validation_alias="AWS_ENDPOINT_URL")
    aws_region: str = Field("us-east-1", validation_alias="AWS_REGION")
    kafka_bootstrap_servers: str = Field("localhost:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    proxy_url: HttpOrigin = Field("http://localhost:8082", validation_alias="PROXY_URL")
    gateway_api_key: SecretStr = Field(validation_alias="GATEWAY_API_KEY", min_length=20, max_length=128)

    @field_validator("gateway_api_key")
    @classmethod
    def _valid_key(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", value.get_secret_value()):
            raise ValueError("may hold A-Z, a-z, 0-9, '_' and '-' only")
        return value
