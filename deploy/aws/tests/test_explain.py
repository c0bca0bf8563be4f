"""What a person reads when AWS refuses."""

from pathlib import Path

import pytest
from aws_deploy.cli import main
from aws_deploy.clients import Clients
from aws_deploy.explain import explain
from botocore.exceptions import ClientError, NoCredentialsError, UnauthorizedSSOTokenError
from click.testing import CliRunner
from stubbed_aws import StubbedAws

ARGUMENTS = ["--api-key", "k" * 20]


def refused(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeStacks")


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired"])
def test_an_expired_token(code: str) -> None:
    text = explain(refused(code))
    assert text.startswith("The session token has expired. Sign in again")
    assert "repeat the command: it goes on" in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (refused("InvalidClientTokenId"), "AWS does not know these credentials"),
        (refused("AccessDenied", "not allowed: x"), "This identity may not DescribeStacks: not allowed: x"),
        (NoCredentialsError(), "There are no AWS credentials"),
        (UnauthorizedSSOTokenError(), "The session has expired"),
        (refused("ValidationError", "Template format error"), "Template format error"),
    ],
)
def test_other_refusals(error: Exception, text: str) -> None:
    assert text in explain(error)


def test_a_wrong_profile_is_one_line_with_those_that_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[profile work]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    failed = CliRunner().invoke(main, ["apply", *ARGUMENTS, "--profile", "wrok"])
    assert failed.exit_code == 1
    assert failed.output.splitlines() == [
        "Error: The config profile (wrok) could not be found. Profiles that there are: work. "
        "Choose one with --profile or AWS_PROFILE"
    ]


@pytest.mark.parametrize("command", ["plan", "apply", "status", "outputs", "destroy"])
def test_an_expired_token_ends_each_command_with_one_line(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = StubbedAws()
    aws.stub("cloudformation").add_client_error("describe_stacks", "ExpiredToken")
    monkeypatch.setattr(Clients, "on_aws", lambda *_: aws.clients)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    more = {"plan": ARGUMENTS, "apply": ARGUMENTS, "destroy": ["--yes", "pinterest"]}
    aws.stub("s3")
    failed = CliRunner().invoke(main, [command, *more.get(command, [])])
    assert failed.exit_code == 1
    assert failed.output.startswith("Error: The session token has expired. Sign in again")
    assert failed.output.count("\n") == 1


@pytest.mark.parametrize("command", ["doctor", "plan", "apply"])
def test_an_id_that_no_stack_can_have_is_said_before_anything_is_asked(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clients, "on_aws", lambda *_: StubbedAws().clients)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    failed = CliRunner().invoke(main, [command, *ARGUMENTS, "--pipeline-id", "2nd"])
    assert failed.exit_code == 1
    assert failed.output.startswith("Error: PIPELINE_ID is '2nd'; on AWS it must begin with a letter")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--set", "kafka=1"], "there is no stack 'kafka=1'|must be|no stack"),
        (["--set", "nothing.A=1"], "there is no stack 'nothing'; there are data, streams"),
        (["--image", "proxy"], "--image proxy: must be SERVICE=URI@DIGEST"),
        (["--image", "popularity=uri@sha256:1"], "there is no service 'popularity'; proxy, emitter, stream-reader"),
    ],
)
def test_a_malformed_setting_is_said_before_anything_is_asked(
    arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clients, "on_aws", lambda *_: StubbedAws().clients)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    failed = CliRunner().invoke(main, ["plan", *ARGUMENTS, *arguments])
    assert failed.exit_code == 1
    assert any(part in failed.output for part in text.split("|"))


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize(
    ("arguments", "takers"),
    [
        (["--tag", "v2", "--stack", "data"], "proxy, emitter, popularity, dashboard"),
        (["--plugin", "a.zip", "--stack", "proxy"], "connect"),
        (["--plugin-sha256", "0", "--stack", "proxy"], "connect"),
        (["--image", "stream-reader=uri@sha256:1", "--stack", "proxy", "--stack", "emitter"], "popularity"),
    ],
)
def test_what_no_stack_among_them_takes_is_refused(
    command: str, arguments: list[str], takers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clients, "on_aws", lambda *_: StubbedAws().clients)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    failed = CliRunner().invoke(main, [command, *ARGUMENTS, *arguments])
    assert failed.exit_code == 1
    assert f"none takes it, but {takers}; nothing was changed" in failed.output


def test_what_a_variable_says_may_be_for_other_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = StubbedAws()
    aws.stub("cloudformation").add_client_error("describe_stacks", "ExpiredToken")
    aws.stub("s3")
    monkeypatch.setattr(Clients, "on_aws", lambda *_: aws.clients)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    asked = CliRunner().invoke(main, ["plan", *ARGUMENTS, "--stack", "data"], env={"IMAGE_TAG": "v2"})
    assert asked.output.startswith("Error: The session token has expired")
