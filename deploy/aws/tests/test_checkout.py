import base64
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_deploy.checkout import Checkout, own_checkout
from aws_deploy.doctor import examine
from aws_deploy.errors import MissingImageError, PackagingError
from aws_deploy.resolve import resolve
from aws_deploy.stacks import build
from aws_deploy.surroundings import Account
from pipeline_contracts.names import Names
from rendered import EARLIER, document, wanted
from stubbed_aws import StubbedAws

WANTED = replace(wanted(), images={}, plugin_sha256="")
REPOSITORY = "1.dkr.ecr.x/pinterest/proxy"
STARTUP = b"#!/bin/sh\nexport PIPELINE_ID=acme-pins\n"
DIGEST = f"sha256:{'a' * 64}"

# Notes how it was called, and answers as Docker does.
DOCKER = """#!/usr/bin/env python3
import json, os, pathlib, sys
told = {"argv": sys.argv[1:], "stdin": sys.stdin.read(), "cwd": os.getcwd()}
told |= {name: os.environ.get(name) for name in ("DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_DEFAULT_PLATFORM")}
with pathlib.Path(__file__).with_name("calls").open("a") as calls:
    calls.write(json.dumps(told) + "\\n")
if sys.argv[1] in os.environ.get("DOCKER_FAILS", "").split():
    sys.exit("denied: no such luck")
if "--images" in sys.argv:
    print("apache/kafka:4\\npinterest-data-pipeline/mirror:1\\npinterest-data-pipeline/proxy:1")
if "inspect" in sys.argv:
    print("unix:///chosen.sock")
"""


@pytest.fixture
def aws() -> StubbedAws:
    return StubbedAws()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Docker that only notes; the file of its notes."""
    file = tmp_path / "docker"
    file.write_text(DOCKER)
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return tmp_path / "calls"


def calls(notes: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in notes.read_text().splitlines()]


def repositories(aws: StubbedAws, times: int = 1) -> None:
    for _ in range(times):
        aws.stub("ecr").add_response("describe_repositories", {"repositories": [{"repositoryUri": REPOSITORY}]})


def there(aws: StubbedAws) -> None:
    aws.stub("ecr").add_response("describe_images", {"imageDetails": [{"imageDigest": DIGEST}]})


def test_a_missing_image_is_built_and_pushed(aws: StubbedAws, docker: Path) -> None:
    ecr = aws.stub("ecr")
    ecr.add_client_error("describe_images", "ImageNotFoundException")
    repositories(aws)
    token = base64.b64encode(b"AWS:s3cret").decode()
    ecr.add_response("get_authorization_token", {"authorizationData": [{"authorizationToken": token}]})
    there(aws)
    repositories(aws)
    root = own_checkout()
    assert root is not None
    told: list[str] = []
    account = Account(aws.clients, tag="v1", checkout=Checkout(root), tell=told.append)
    assert account.before("proxy", WANTED, {}).images == {"proxy": f"{REPOSITORY}@{DIGEST}"}
    aws.nothing_left()
    assert told == [f"image {REPOSITORY}:v1: building, which may take minutes", f"image {REPOSITORY}:v1: pushing"]
    _, build, _, tag, _, login, push = calls(docker)
    assert build["argv"][-2:] == ["build", "proxy"]
    assert (build["cwd"], build["DOCKER_DEFAULT_PLATFORM"]) == (str(root), "linux/amd64")
    assert tag["argv"] == ["tag", "pinterest-data-pipeline/proxy:1", f"{REPOSITORY}:v1"]
    assert (login["argv"][-1], login["stdin"]) == ("1.dkr.ecr.x", "s3cret")
    assert push["argv"] == ["push", f"{REPOSITORY}:v1"]
    assert push["DOCKER_HOST"] == "unix:///chosen.sock"
    assert push["DOCKER_CONFIG"] == login["DOCKER_CONFIG"]
    assert not Path(push["DOCKER_CONFIG"]).exists(), "the registry's password is left behind"
    assert all("s3cret" not in " ".join(call["argv"]) for call in calls(docker))


def test_without_an_engine_a_missing_image_is_said(
    aws: StubbedAws, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_FAILS", "version")
    aws.stub("ecr").add_client_error("describe_images", "ImageNotFoundException")
    account = Account(aws.clients, tag="v1", checkout=Checkout(docker.parent))
    with pytest.raises(
        MissingImageError, match="`apply` builds and pushes it from a checkout on a machine with Docker"
    ):
        account.before("proxy", WANTED, {})


def test_the_doctor_knows_what_apply_will_build(aws: StubbedAws, docker: Path) -> None:
    assert not docker.exists()
    aws.stub("ecr").add_client_error("describe_images", "ImageNotFoundException")
    account = Account(aws.clients, tag="v1", checkout=Checkout(docker.parent))
    found = {finding.name: (finding.state, finding.text) for finding in examine(account, WANTED, None)}
    assert found["image proxy"] == ("ok", "not there yet; apply builds and pushes it")


def test_what_docker_says_is_told(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_FAILS", "compose")
    with pytest.raises(PackagingError, match="`docker compose --file …` ended with 1:\\ndenied: no such luck"):
        Checkout(docker.parent).build("proxy", "x:v1")


def test_a_folder_without_a_dag_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match="--checkout must name a checkout"):
        Checkout(tmp_path).airflow_files()


def test_an_installed_command_leaves_dag_and_wheel_as_they_are(aws: StubbedAws) -> None:
    script = STARTUP.replace(b"acme-pins", b"pinterest")
    same = {"sha256": hashlib.sha256(script).hexdigest()}
    aws.stub("s3").add_response("head_object", {"VersionId": "v3", "Metadata": same})
    aws.stub("s3").add_response("head_object", {"VersionId": "v7", "Metadata": {}})
    told: list[str] = []
    account = Account(aws.clients, tell=told.append)
    ready = account.before("mwaa", WANTED, {})
    assert (ready.startup_version, ready.requirements_version) == ("v3", "v7")
    assert account.before("databricks", WANTED, {}) == WANTED
    assert [line.partition(":")[0] for line in told] == ["DAG and requirements", "wheel"]
    aws.nothing_left()


def test_airflow_is_told_which_pipeline_it_serves(aws: StubbedAws) -> None:
    asked = replace(WANTED, names=Names("acme-pins"))
    place = {"Bucket": "acme-pins-artifacts", "Key": "mwaa/startup.sh"}
    sent = {**place, "Body": STARTUP, "Metadata": {"sha256": hashlib.sha256(STARTUP).hexdigest()}}
    s3 = aws.stub("s3")
    s3.add_client_error("head_object", "404", expected_params=place)
    s3.add_response("put_object", {"VersionId": "v1"}, sent)
    s3.add_response("head_object", {"VersionId": "v7", "Metadata": {}})
    ready = Account(aws.clients).before("mwaa", asked, {})
    parameters = build("mwaa", ready, EARLIER).parameters
    environment = resolve(document("mwaa"), parameters)["Environment"]["Properties"]
    assert environment["StartupScriptS3Path"] == "mwaa/startup.sh"
    assert environment["StartupScriptS3ObjectVersion"] == "v1"
