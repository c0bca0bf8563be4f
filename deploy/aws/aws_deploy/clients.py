"""The only place where clients are made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from localstack_client.session import Session as LocalStackSession

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

Target = Literal["aws", "localstack"]

# LocalStack loads a service at its first call, which takes some seconds.
_LOCAL = Config(connect_timeout=2, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 1})
_AWS = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5})


@dataclass(frozen=True)
class Clients:
    """Clients of one account and region, on AWS or on LocalStack."""

    target: Target
    endpoint_url: str
    """LocalStack's address without a slash at the end; empty on AWS."""
    cloudformation: "CloudFormationClient"
    s3: "S3Client"
    kinesis: "KinesisClient"
    apigateway: "APIGatewayClient"
    other: Callable[[str], Any]
    """A client of any other service, by its boto3 name."""

    @classmethod
    def on_aws(cls, region: str, profile: str | None = None) -> Self:
        """Clients of AWS, with the credentials of the environment or of a profile.

        Raises:
            botocore.exceptions.ProfileNotFound: there is no such profile.
        """
        session = boto3.Session(region_name=region, profile_name=profile)
        return cls(
            target="aws",
            endpoint_url="",
            cloudformation=session.client("cloudformation", config=_AWS),
            s3=session.client("s3", config=_AWS),
            kinesis=session.client("kinesis", config=_AWS),
            apigateway=session.client("apigateway", config=_AWS),
            other=lambda service: session.client(service, config=_AWS),  # type: ignore[call-overload]
        )

    @classmethod
    def on_localstack(cls, endpoint_url: str, region: str) -> Self:
        """Clients of the LocalStack at this address.

        Raises:
            ValueError: ``AWS_ENDPOINT_URL`` names another address, and the session would go there.
        """
        session = LocalStackSession(
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 (LocalStack takes any)
            region_name=region,
            localstack_host=urlsplit(endpoint_url).netloc,
        )
        path_style = _LOCAL.merge(Config(s3={"addressing_style": "path"}))
        clients = cls(
            target="localstack",
            endpoint_url=endpoint_url.rstrip("/"),
            cloudformation=session.client("cloudformation", config=_LOCAL),
            s3=session.client("s3", config=path_style),
            kinesis=session.client("kinesis", config=_LOCAL),
            apigateway=session.client("apigateway", config=_LOCAL),
            other=lambda service: session.client(service, config=_LOCAL),
        )
        used = clients.cloudformation.meta.endpoint_url
        if used.rstrip("/") != clients.endpoint_url:
            raise ValueError(f"AWS_ENDPOINT_URL is {used}, but LocalStack was said to be at {endpoint_url}")
        return clients
