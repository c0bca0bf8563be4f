"""Clients of AWS that answer what a test has put in: botocore checks both sides against the official service models."""

from typing import Any, cast

import boto3
from aws_deploy.clients import Clients
from botocore.stub import Stubber

# One for all tests: it reads each service's model once.
_SESSION: Any = boto3.Session(region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


class StubbedAws:
    """``stub("ecr")`` is the Stubber of a service; ``clients`` is what the code under test gets."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Any, Stubber]] = {}
        self.clients = Clients(
            target="aws",
            endpoint_url="",
            cloudformation=cast("Any", self._client("cloudformation")),
            s3=cast("Any", self._client("s3")),
            kinesis=cast("Any", self._client("kinesis")),
            apigateway=cast("Any", self._client("apigateway")),
            other=self._client,
        )

    def stub(self, service: str) -> Stubber:
        self._client(service)
        return self._made[service][1]

    def nothing_left(self) -> None:
        """Every answer that was put in has been asked for."""
        for _, stubber in self._made.values():
            stubber.assert_no_pending_responses()

    def _client(self, service: str) -> Any:
        if service not in self._made:
            client = _SESSION.client(service)
            stubber = Stubber(client)
            stubber.activate()
            self._made[service] = (client, stubber)
        return self._made[service][0]
