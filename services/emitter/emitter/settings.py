"""All settings of the emitter; the command line may set some of them again for one run."""

from pathlib import Path
from typing import Annotated

from pipeline_contracts.names import API_STAGE, Names, checked_id
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict
from service_kit.settings import LogLevel, ServiceSettings


class EmitterSettings(ServiceSettings):
    """See the table in README.md."""

    model_config = SettingsConfigDict(env_prefix="EMITTER_")

    pipeline_id: Annotated[str, AfterValidator(checked_id)] = Field(default="pinterest", validation_alias="PIPELINE_ID")
    gateway_url: str | None = Field(default=None, validation_alias="GATEWAY_URL", pattern="^https?://")
    gateway_api_key: SecretStr | None = Field(default=None, validation_alias="GATEWAY_API_KEY")

    ledger: Path = Path(".pipeline/state/emitter/ledger.sqlite")
    lanes: int = Field(default=4, ge=1, le=64)
    batch_size: int = Field(default=500, ge=1, le=100_000)
    batch_bytes: int = Field(default=5_000_000, ge=1_100_000, le=10_000_000)
    deadline_s: float = Field(default=120, gt=0)
    timeout_s: float = Field(default=35, gt=0)
    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    log_level: LogLevel = "WARNING"

    @property
    def names(self) -> Names:
        """Names of this deployment."""
        return Names(self.pipeline_id)

    @property
    def entry_url(self) -> str:
        """The gateway's base URL; by default the one that the laptop's deployment fixes."""
        if self.gateway_url is not None:
            return self.gateway_url.rstrip("/")
        return f"http://localhost:4566/_aws/execute-api/{self.names.api_id}/{API_STAGE}"
