"""boto3 clients from options: keys or a role, endpoint and region, timeouts, and our decoder for GetRecords.

Signing, connections and errors stay botocore's. Its retries are off: the callers retry, with a bound of their own.
"""

from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError

from kinesis_source.envelope import NotAnAnswerError
from kinesis_source.errors import AccessError, OptionError
from kinesis_source.options import Options
from kinesis_source.records import page_from_body
from kinesis_source.stream import Stream

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 5
FETCH_TIMEOUT_S = 30
"""10 MB, the most that GetRecords gives, at 2 MB/s take 5 s."""


def connect(options: Options, connections: int) -> Stream:
    """Clients for one stream; no request is made.

    Raises:
        OptionError: there is no region, in the options or on the machine.
        AccessError: botocore cannot make a client of these options.
    """
    session = _session(options)
    region = _region(options, session)
    if region is None:
        raise OptionError("region", "not given, and the machine has none configured")
    boto = boto3.Session(botocore_session=session, region_name=region)

    def client(timeout_s: int) -> Any:
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=timeout_s,
            max_pool_connections=connections,
            retries={"total_max_attempts": 1, "mode": "standard"},
        )
        return boto.client("kinesis", endpoint_url=options.endpoint, config=config)

    try:
        small, bulk = client(ANSWER_TIMEOUT_S), client(FETCH_TIMEOUT_S)
    except (BotoCoreError, ValueError) as error:
        raise AccessError(f"no Kinesis client for {options.stream}: {error}") from error
    bulk.meta.events.register("before-parse.kinesis.GetRecords", _decode)
    return Stream(small, options.stream_request, bulk)


def _decode(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """botocore's hook: decode the body ourselves, and leave its parser nothing to do."""
    if response_dict["status_code"] != 200:
        return
    try:
        customized_response_dict["Page"] = page_from_body(response_dict["body"])
    except NotAnAnswerError as error:
        raise ResponseParserError(f"not an answer of GetRecords: {error}") from error
    response_dict["body"] = b"{}"


def _session(options: Options) -> botocore.session.Session:
    session = botocore.session.Session()
    # Numbers instead of datetimes; see records.epoch_s.
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=float)
    if options.access_key is not None and options.secret_key is not None:
        session.set_credentials(options.access_key, options.secret_key)
    if options.role_arn is not None:
        provider = _AssumedRole(session, session.get_credentials(), options, options.role_arn)
        assumed = botocore.session.Session()
        assumed.register_component("credential_provider", CredentialResolver([provider]))
        assumed.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=float)
        return assumed
    return session


def _region(options: Options, session: botocore.session.Session) -> str | None:
    """As given, else the ARN's, else the machine's."""
    in_arn = options.stream.split(":")[3] if options.stream.startswith("arn:") else ""
    configured: str | None = session.get_config_variable("region")
    return options.region or in_arn or configured


class _AssumedRole(CredentialProvider):
    """Credentials of ``roleArn``, renewed before they end."""

    METHOD = "kinesis-source-role"

    def __init__(self, source: botocore.session.Session, credentials: Any, options: Options, role_arn: str) -> None:
        super().__init__(source)
        self._source, self._credentials, self._options, self._role_arn = source, credentials, options, role_arn

    def load(self) -> DeferredRefreshableCredentials:
        """Called by botocore when it needs credentials first."""
        options = self._options
        if self._credentials is None:
            raise AccessError(f"no credentials to assume the role {self._role_arn} with")

        def create_client(service: str, **arguments: Any) -> Any:
            return self._source.create_client(
                service, region_name=_region(options, self._source), endpoint_url=options.sts_endpoint, **arguments
            )

        extra = {"RoleSessionName": options.role_session_name or "kinesis-source"}
        if options.role_external_id is not None:
            extra["ExternalId"] = options.role_external_id
        fetcher = AssumeRoleCredentialFetcher(create_client, self._credentials, self._role_arn, extra_args=extra)
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)
