"""Settings of the dashboard (``DASHBOARD_…`` and what all services share)."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pipeline_contracts.names import Names, checked_id
from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict
from service_kit.settings import LogLevel, ServiceSettings


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be http://host:port, or https")
    if "@" in parts.netloc:
        raise ValueError("must hold no name or password: pages show it")
    return text.rstrip("/")


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ValueError("must be host:port")
    return text


Address = Annotated[str, AfterValidator(_address)]
"""Where a service answers HTTP; without a slash at the end."""


class Settings(ServiceSettings):
    """See the table in ``README.md``."""

    model_config = SettingsConfigDict(env_prefix="DASHBOARD_")

    pipeline_id: Annotated[str, AfterValidator(checked_id)] = Field("pinterest", validation_alias="PIPELINE_ID")
    lake_uri: str | None = Field(None, validation_alias="LAKE_URI")
    aws_endpoint_url: str | None = Field(None, validation_alias="AWS_ENDPOINT_URL")
    aws_region: str = Field("us-east-1", validation_alias="AWS_REGION")
    allowed_hosts: str = Field("", validation_alias="ALLOWED_HOSTS")
    log_level: LogLevel = "INFO"
    host: str = "127.0.0.1"
    port: int = Field(8095, ge=0, le=65_535)

    proxy_url: Address | None = None
    s3_sink_url: Address | None = None
    mirror_url: Address | None = None
    analyser_url: Address | None = None
    stream_reader_url: Address | None = None
    localstack_url: Address | None = None
    airflow_url: Address | None = None
    kafka: Annotated[str, AfterValidator(_host_and_port)] | None = None
    airflow_page: Address | None = None
    audits_dir: Path | None = None
    without: str = ""
    show_personal: bool = False

    cloudwatch_stage: str | None = None
    oidc_signer: str | None = None
    personal_group: str = ""
    groups_claim: str = "groups"

    @property
    def names(self) -> Names:
        """Names of this deployment."""
        return Names(self.pipeline_id)

    @property
    def left_out(self) -> frozenset[str]:
        """Services that are not started here."""
        return frozenset(name.strip() for name in self.without.split(",")) - {""}

    @property
    def storage_options(self) -> dict[str, str]:
        """For delta-rs, where the lake is in S3; keys and roles are found as boto3 does."""
        if self.lake_uri is None or not self.lake_uri.startswith("s3://"):
            return {}
        options = {"AWS_REGION": self.aws_region}
        if self.aws_endpoint_url is not None:
            options |= {"AWS_ENDPOINT_URL": self.aws_endpoint_url, "AWS_ALLOW_HTTP": "true"}
        return options
