from typing import cast

import pytest
from aws_deploy.deployer import Deployer
from aws_deploy.errors import DeployError
from aws_deploy.mirror.sides import LocalStackSide
from pipeline_contracts.names import API_STAGE
from rendered import wanted
from stubbed_aws import StubbedAws


@pytest.fixture
def aws() -> StubbedAws:
    return StubbedAws()


@pytest.fixture
def side(aws: StubbedAws) -> LocalStackSide:
    return LocalStackSide(aws.clients, cast("Deployer", None), wanted())


def has_bucket_and_api(aws: StubbedAws) -> None:
    names = wanted().names
    aws.stub("s3").add_response("head_bucket", {}, {"Bucket": names.bucket})
    aws.stub("apigateway").add_response("get_stage", {}, {"restApiId": names.api_id, "stageName": API_STAGE})


def has_stream(aws: StubbedAws, name: str) -> None:
    summary = {
        "StreamName": name,
        "StreamARN": f"arn:aws:kinesis:us-east-1:000000000000:stream/{name}",
        "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1,
        "EnhancedMonitoring": [],
        "OpenShardCount": 1,
    }
    aws.stub("kinesis").add_response(
        "describe_stream_summary", {"StreamDescriptionSummary": summary}, {"StreamName": name}
    )


def test_each_stream_is_asked_for_by_its_name(aws: StubbedAws, side: LocalStackSide) -> None:
    """LocalStack's list of streams ends after ten, and senders may make streams of their own."""
    has_bucket_and_api(aws)
    for name in wanted().names.streams:
        has_stream(aws, name)
    assert side.lost() == []
    aws.nothing_left()


def test_one_stream_that_is_not_there_is_enough(aws: StubbedAws, side: LocalStackSide) -> None:
    has_bucket_and_api(aws)
    has_stream(aws, next(iter(wanted().names.streams)))
    aws.stub("kinesis").add_client_error("describe_stream_summary", "ResourceNotFoundException")
    assert side.lost() == ["streams"]


def test_a_side_that_does_not_answer_has_lost_nothing(aws: StubbedAws, side: LocalStackSide) -> None:
    aws.stub("s3").add_response("head_bucket", {})
    aws.stub("kinesis").add_client_error("describe_stream_summary", "InternalFailure", http_status_code=500)
    with pytest.raises(DeployError, match="does not answer"):
        side.lost()
