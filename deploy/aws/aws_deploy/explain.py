"""Turns errors of AWS into what a person can do about them."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import click
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from pipeline_contracts.names import InvalidPipelineIdError

from aws_deploy.errors import DeployError

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN = {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_SIGN_IN = "Sign in again (`aws sso login`, or new keys in the environment) and repeat the command: it goes on"


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn errors that a person can act on into one line and exit code 1."""
    try:
        yield
    except (DeployError, InvalidPipelineIdError, BotoCoreError, ClientError) as error:
        raise click.ClickException(explain(error)) from error


def explain(error: Exception) -> str:
    """One line: what happened, and what to do."""
    match error:
        case ProfileNotFound():
            known = ", ".join(boto3.Session().available_profiles) or "none"
            return f"{error}. Profiles that there are: {known}. Choose one with --profile or AWS_PROFILE"
        case NoCredentialsError():
            return "There are no AWS credentials. Give --profile, or AWS_ENDPOINT_URL if you mean LocalStack"
        case NoRegionError():
            return "There is no region. Give --region or AWS_REGION"
        case UnauthorizedSSOTokenError() | SSOTokenLoadError() | TokenRetrievalError():
            return f"The session has expired. {_SIGN_IN}"
        case ClientError():
            return _refusal(error)
    return str(error)


def _refusal(error: ClientError) -> str:
    code, said = (error.response.get("Error", {}).get(key, "") for key in ("Code", "Message"))
    if code in _EXPIRED:
        return f"The session token has expired. {_SIGN_IN}"
    if code in _UNKNOWN:
        return f"AWS does not know these credentials ({code}). Check --profile and the AWS_… variables"
    if code in _DENIED:
        return f"This identity may not {error.operation_name}: {said}"
    return str(error)
