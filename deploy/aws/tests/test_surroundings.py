import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from aws_deploy.errors import ForeignResourceError, MissingImageError, SettingError
from aws_deploy.surroundings import Account
from rendered import wanted
from stubbed_aws import StubbedAws

WANTED = replace(wanted(), images={}, plugin_sha256="")
OURS = {"TagSet": [{"Key": "project", "Value": "pinterest"}]}


@pytest.fixture
def aws() -> StubbedAws:
    return StubbedAws()


def test_an_image_is_named_by_the_digest_of_its_tag(aws: StubbedAws) -> None:
    digest = f"sha256:{'a' * 64}"
    ecr = aws.stub("ecr")
    ecr.add_response(
        "describe_images",
        {"imageDetails": [{"imageDigest": digest}]},
        {"repositoryName": "pinterest/proxy", "imageIds": [{"imageTag": "v1"}]},
    )
    ecr.add_response("describe_repositories", {"repositories": [{"repositoryUri": "1.dkr.ecr.x/pinterest/proxy"}]})
    ready = Account(aws.clients, tag="v1").before("proxy", WANTED, {})
    assert ready.images == {"proxy": f"1.dkr.ecr.x/pinterest/proxy@{digest}"}


@pytest.mark.parametrize("code", ["ImageNotFoundException", "RepositoryNotFoundException"])
def test_a_missing_image_is_named_with_the_commands_that_put_it_there(aws: StubbedAws, code: str) -> None:
    aws.stub("ecr").add_client_error("describe_images", code)
    with pytest.raises(MissingImageError, match=r"no image pinterest/emitter:v1.*docker push"):
        Account(aws.clients, tag="v1").before("emitter", WANTED, {})


def test_no_tag_and_no_digest_is_said(aws: StubbedAws) -> None:
    with pytest.raises(SettingError, match="give --tag, or --image proxy="):
        Account(aws.clients).before("proxy", WANTED, {})


def test_a_plugin_is_uploaded_under_its_hash_and_once(aws: StubbedAws, tmp_path: Path) -> None:
    file = tmp_path / "plugin.zip"
    file.write_bytes(b"zip")
    digest = hashlib.sha256(b"zip").hexdigest()
    place = {"Bucket": "pinterest-artifacts", "Key": f"plugins/{digest}.zip"}
    s3 = aws.stub("s3")
    s3.add_client_error("head_object", "404", expected_params=place)
    s3.add_response("put_object", {}, {**place, "Body": b"zip"})
    for _ in range(3):
        s3.add_response("head_object", {}, place)
    account = Account(aws.clients, plugin=file)
    assert account.before("connect", WANTED, {}).plugin_sha256 == digest
    assert account.before("connect", WANTED, {}).plugin_sha256 == digest
    aws.nothing_left()


def test_no_plugin_at_all_is_said(aws: StubbedAws) -> None:
    with pytest.raises(SettingError, match="give --plugin"):
        Account(aws.clients).before("connect", WANTED, {})


def test_a_plugin_named_by_hash_must_be_there(aws: StubbedAws) -> None:
    aws.stub("s3").add_client_error("head_object", "404")
    with pytest.raises(SettingError, match="is not there; give --plugin"):
        Account(aws.clients).before("connect", replace(WANTED, plugin_sha256="b" * 64), {})


def test_names_that_nobody_has_are_free(aws: StubbedAws) -> None:
    for _ in range(4):
        aws.stub("s3").add_client_error("head_bucket", "404")
    assert not Account(aws.clients).has_leftovers("data", WANTED)
    for _ in range(3):
        aws.stub("kinesis").add_client_error("list_tags_for_stream", "ResourceNotFoundException")
    assert not Account(aws.clients).has_leftovers("streams", WANTED)
    aws.nothing_left()


def test_what_an_earlier_deployment_left_is_taken_over(aws: StubbedAws) -> None:
    s3 = aws.stub("s3")
    s3.add_response("head_bucket", {}, {"Bucket": "pinterest-raw"})
    s3.add_response("get_bucket_tagging", OURS)
    for _ in range(3):
        s3.add_client_error("head_bucket", "404")
    assert Account(aws.clients).has_leftovers("data", WANTED)


def test_a_bucket_of_another_account_is_an_error(aws: StubbedAws) -> None:
    aws.stub("s3").add_client_error("head_bucket", "403")
    with pytest.raises(ForeignResourceError, match=r"pinterest-raw belongs to somebody else.*PIPELINE_ID"):
        Account(aws.clients).has_leftovers("data", WANTED)


def test_a_bucket_or_stream_without_our_tag_is_an_error(aws: StubbedAws) -> None:
    aws.stub("s3").add_response("head_bucket", {})
    aws.stub("s3").add_client_error("get_bucket_tagging", "NoSuchTagSet")
    with pytest.raises(ForeignResourceError, match="pinterest-raw exists and has no tag project=pinterest"):
        Account(aws.clients).has_leftovers("data", WANTED)
    tags = {"Tags": [{"Key": "project", "Value": "other"}], "HasMoreTags": False}
    aws.stub("kinesis").add_response("list_tags_for_stream", tags)
    with pytest.raises(ForeignResourceError, match="Stream streaming-pinterest-pin"):
        Account(aws.clients).has_leftovers("streams", WANTED)


def test_brokers_are_asked_for_their_addresses(aws: StubbedAws) -> None:
    for order in ("b-2:9098,b-1:9098", "b-1:9098,b-2:9098"):  # MSK gives them in no fixed order
        told = {"BootstrapBrokerStringSaslIam": order}
        aws.stub("kafka").add_response("get_bootstrap_brokers", told, {"ClusterArn": "arn"})
        outputs = Account(aws.clients).after("kafka", {"ClusterArn": "arn"})
        assert outputs == {"ClusterArn": "arn", "BootstrapServers": "b-1:9098,b-2:9098"}
    assert Account(aws.clients).after("data", {"a": "b"}) == {"a": "b"}


def test_repositories_are_taken_over(aws: StubbedAws) -> None:
    ecr = aws.stub("ecr")
    ecr.add_response("describe_repositories", {"repositories": [{"repositoryArn": "arn"}]})
    ecr.add_response("list_tags_for_resource", {"tags": OURS["TagSet"]}, {"resourceArn": "arn"})
    for _ in range(3):
        ecr.add_client_error("describe_repositories", "RepositoryNotFoundException")
    assert Account(aws.clients).has_leftovers("images", WANTED)
    aws.nothing_left()


def cluster(name: str, **more: str) -> dict[str, object]:
    return {"ClusterName": name, "ClusterArn": f"arn-of-{name}", "Tags": {"project": name}, **more}


def test_brokers_that_are_still_there_are_named_with_the_way_to_delete_them(aws: StubbedAws) -> None:
    kafka = aws.stub("kafka")
    there = [cluster("pinterest-two"), cluster("pinterest", State="DELETING")]
    kafka.add_response("list_clusters", {"ClusterInfoList": there}, {"ClusterNameFilter": "pinterest"})
    assert not Account(aws.clients).has_leftovers("kafka", WANTED)
    kafka.add_response("list_clusters", {"ClusterInfoList": [cluster("pinterest", State="ACTIVE")]})
    with pytest.raises(SettingError, match="delete-cluster --cluster-arn arn-of-pinterest"):
        Account(aws.clients).has_leftovers("kafka", WANTED)


def test_a_secret_that_is_still_there_is_named_with_the_way_to_delete_it(aws: StubbedAws) -> None:
    secrets = aws.stub("secretsmanager")
    secrets.add_client_error("describe_secret", "ResourceNotFoundException")
    assert not Account(aws.clients).has_leftovers("mwaa", WANTED)
    secrets.add_response("describe_secret", {"ARN": "arn-of-the-secret-of-airflow", "Tags": OURS["TagSet"]})
    with pytest.raises(SettingError, match="delete-secret --force-delete-without-recovery"):
        Account(aws.clients).has_leftovers("mwaa", WANTED)
    secrets.add_response("describe_secret", {"ARN": "arn-of-the-secret-of-airflow"})
    with pytest.raises(ForeignResourceError):
        Account(aws.clients).has_leftovers("mwaa", WANTED)
