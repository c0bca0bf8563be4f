"""Every stack of an AWS deployment, created, changed, interrupted, failed and destroyed by the real command.

LocalStack stands in for AWS, with the plug-in of ``tests/localstack_plugin`` for the kinds that it lacks; MSK answers
with a real broker, on which the topics are really made.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws_deploy.cli import main
from aws_deploy.clients import Clients
from aws_deploy.deployer import Deployer
from aws_deploy.errors import StackFailedError
from aws_deploy.resolve import resolve
from aws_deploy.surroundings import IMAGE_OF
from aws_deploy.wanted import OPTIONAL, StackKind
from click.testing import CliRunner, Result
from confluent_kafka.admin import AdminClient
from deployment_bench import USUAL
from ingest_proxy.app import create_app
from ingest_proxy.memory import MemoryCluster
from ingest_proxy.settings import ProxySettings
from prometheus_client import CollectorRegistry
from rendered import SIGN_IN, document
from servers import Kafka
from stand_in import FullLocalStack
from waiting import wait_until
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEY = "key-of-the-aws-tests-0001"
ROOT = Path(__file__).parents[2]


class LoadBalancer:
    """An address before the real proxy, which a test puts behind it with the settings of the stack's task."""

    def __init__(self) -> None:
        self.target: WSGIApplication | None = None
        self._server = make_server("127.0.0.1", 0, self._forward, threaded=True)
        self.address = f"127.0.0.1:{self._server.port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def _forward(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        assert self.target is not None
        # As the proxy's own server does, and this one does not: the body ends where Content-Length says.
        environ["wsgi.input"] = get_input_stream(environ)
        return self.target(environ, start_response)

    def stop(self) -> None:
        self._server.shutdown()


@pytest.fixture(scope="module")
def balancer() -> Iterator[LoadBalancer]:
    made = LoadBalancer()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka, balancer: LoadBalancer) -> Iterator[FullLocalStack]:
    folder = tmp_path_factory.mktemp("full-localstack")
    with FullLocalStack(folder, kafka=kafka.bootstrap_servers, proxy=balancer.address) as server:
        yield server


@pytest.fixture
def clients(cloud: FullLocalStack) -> Iterator[Clients]:
    cloud.control()
    yield Clients.on_localstack(cloud.endpoint_url, "us-east-1")
    cloud.control()


def images(*arguments: str) -> list[str]:
    """Of the stacks that are asked for; of all but the optional ones where none is."""
    words = " ".join(arguments).replace("--stack=", "--stack ").split()
    asked = {name for option, name in pairwise(words) if option == "--stack"} or IMAGE_OF.keys() - OPTIONAL
    services = [service for kind, service in IMAGE_OF.items() if kind in asked]
    return [f"--image={service}=registry.example/{service}@sha256:{'0' * 64}" for service in services]


class Bench:
    """One pipeline of its own, and the command."""

    def __init__(self, cloud: FullLocalStack, clients: Clients, pipeline_id: str, plugin: Path) -> None:
        self.cloud, self.clients, self.id = cloud, clients, pipeline_id
        self.env = {
            "PIPELINE_ID": pipeline_id,
            "AWS_ENDPOINT_URL": cloud.endpoint_url,
            "GATEWAY_API_KEY": f"{KEY}-{pipeline_id}",
            "CONNECT_PLUGIN": str(plugin),
            "KAFKA_BOOTSTRAP_SERVERS": "",
        }

    def run(self, command: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, [command, "--as-on-aws", *arguments], env=self.env)

    def apply(self, *arguments: str) -> str:
        done = self.run("apply", *images(*arguments), *arguments)
        assert done.exit_code == 0, done.output
        return done.output

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """The command as a process, to be killed."""
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from aws_deploy.cli import main; main()",
                "apply",
                "--as-on-aws",
                *images(*arguments),
                *arguments,
            ],
            env={**os.environ, **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def states(self) -> dict[str, str]:
        rows = json.loads(self.run("status", "--format", "json").stdout)
        return {row["stack"].removeprefix(f"{self.id}-"): row["state"] for row in rows}


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "s3-sink.zip"
    file.write_bytes(b"PK: the connector")
    return file


@pytest.fixture
def bench(cloud: FullLocalStack, clients: Clients, plugin: Path) -> Bench:
    return Bench(cloud, clients, f"aws-{uuid.uuid4().hex[:8]}", plugin)


def stack_status(bench: Bench, kind: StackKind) -> str:
    found = bench.clients.cloudformation.describe_stacks(StackName=f"{bench.id}-{kind}")
    return str(found["Stacks"][0]["StackStatus"])


def test_all_stacks_are_created_changed_rolled_forward_and_destroyed(
    bench: Bench, kafka: Kafka, balancer: LoadBalancer
) -> None:
    planned = bench.run("plan", "--format", "json")
    assert planned.exit_code == 0, planned.output
    plan = json.loads(planned.stdout)
    assert {row["stack"].removeprefix(f"{bench.id}-") for row in plan["changes"]} == set(USUAL)
    assert plan["idle_usd_per_hour"] > 1
    assert set(bench.states().values()) == {"not there"}

    created = bench.apply()
    assert "Cluster CREATE_COMPLETE" in created
    assert bench.env["GATEWAY_API_KEY"] not in created
    assert set(bench.states().values()) == {"CREATE_COMPLETE"}
    again = bench.apply()
    assert [line for line in again.splitlines() if line.endswith(": no changes")] == [
        f"{bench.id}-{kind}: no changes" for kind in USUAL
    ]

    # What others read is right: topics are on the broker, and the gateway reaches the proxy by its link.
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    topics = {name: t for name, t in admin.list_topics(timeout=10).topics.items() if name.startswith(f"{bench.id}.")}
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {
        f"{bench.id}.pin": 3, f"{bench.id}.geo": 3, f"{bench.id}.user": 3, f"{bench.id}.dlq": 1,
    }  # fmt: skip
    balancer.target = proxy_of(bench)
    assert produced(bench) == [{"partition": 0, "offset": 0, "error_code": None, "error": None}]

    # A change goes to what it concerns, in place, and is shown before.
    bigger = ["--set", "kafka.Partitions=6", "--set", "connect.Workers=2", "--set", "proxy.Tasks=3"]
    planned = bench.run("plan", "--format", "json", *images(), *bigger)
    changes = {
        (row["stack"].removeprefix(f"{bench.id}-"), row["resource"]) for row in json.loads(planned.stdout)["changes"]
    }
    assert changes >= {("kafka", "PinTopic"), ("connect", "Events"), ("proxy", "Service")}
    assert {stack for stack, _ in changes} == {"kafka", "connect", "proxy"}
    bench.apply(*bigger)
    assert len(admin.list_topics(f"{bench.id}.pin", timeout=10).topics[f"{bench.id}.pin"].partitions) == 6
    assert bench.states()["kafka"] == "UPDATE_COMPLETE"
    assert bench.states()["data"] == "CREATE_COMPLETE"
    # What is not repeated stays: sizes, images, the plug-in.
    bench.env["CONNECT_PLUGIN"] = ""
    kept = bench.run("apply")
    assert [line for line in kept.output.splitlines() if line.endswith(": no changes")] == [
        f"{bench.id}-{kind}: no changes" for kind in USUAL
    ], kept.output
    told = bench.run("apply", "--reset", "proxy.Tasks").output
    assert f"{bench.id}-proxy: modify Service (AWS::ECS::Service)" in told

    gone = bench.run("destroy", "--yes", bench.id)
    assert gone.exit_code == 0, gone.output
    assert f"{bench.id}-data: retained AWS::S3::Bucket {bench.id}-raw (paid by size)" in gone.output
    assert f"{bench.id}-network: stays, 0.16 USD an hour" in gone.output
    standing = {kind for kind, state in bench.states().items() if state != "not there"}
    assert standing == {"data", "network", "kafka"}
    bench.clients.s3.head_bucket(Bucket=f"{bench.id}-raw")
    order = [line.split(":")[0] for line in gone.output.splitlines() if " DELETE_COMPLETE" in line]
    seen = list(dict.fromkeys(name.removeprefix(f"{bench.id}-") for name in order))
    assert seen == [kind for kind in reversed(USUAL) if kind in seen]

    tag_streams(bench)
    gone = bench.run("destroy", "--yes", bench.id, "--delete-data")
    assert gone.exit_code == 0, gone.output
    assert set(bench.states().values()) == {"not there"}
    assert bench.id not in json.dumps(bench.clients.other("kafka").list_clusters()["ClusterInfoList"])


def test_the_dashboard_is_made_where_it_is_asked_for_and_stays(bench: Bench) -> None:
    """Its client's secret is put there by a person, and no stack shows it."""
    bench.clients.other("secretsmanager").create_secret(
        Name=f"{bench.id}/dashboard/oidc", SecretString='{"client_secret": "s3cret-of-the-client"}'
    )
    needed = [f"--stack={kind}" for kind in ("data", "images", "network", "kafka", "proxy")]
    bench.apply(*needed)
    assert "dashboard" not in bench.states()
    asked = [f"--set=dashboard.{name}={value}" for name, value in SIGN_IN.items()]
    told = bench.apply("--stack=dashboard", *asked)
    assert f"https://{SIGN_IN['HostName']}:8095" in told
    assert "s3cret" not in told
    assert bench.states()["dashboard"] == "CREATE_COMPLETE"
    # What is there is among those that a later apply is about, with what it was given.
    planned = bench.run("plan", "--format", "json")
    assert planned.exit_code == 0, planned.output
    assert f"{bench.id}-dashboard" not in {row["stack"] for row in json.loads(planned.stdout)["changes"]}
    assert f"{bench.id}-dashboard: no changes" in bench.apply("--stack=dashboard")
    assert bench.run("destroy", "--yes", bench.id, "--stack=dashboard").exit_code == 0
    assert "dashboard" not in bench.states()


def tag_streams(bench: Bench) -> None:
    """CloudFormation gives a stream its stack's tags; LocalStack does not."""
    for kind in ("pin", "geo", "user"):
        bench.clients.kinesis.add_tags_to_stream(StreamName=f"streaming-{bench.id}-{kind}", Tags={"project": bench.id})


def test_what_destroy_left_is_taken_over(bench: Bench) -> None:
    bench.apply()
    bench.clients.s3.put_object(Bucket=f"{bench.id}-raw", Key="k", Body=b"kept")
    gone = bench.run("destroy", "--yes", bench.id)
    assert gone.exit_code == 0, gone.output
    assert bench.states()["kafka"] == "CREATE_COMPLETE"
    tag_streams(bench)
    # CloudFormation cannot take over this one; the message of a real account says how to delete it.
    bench.clients.other("secretsmanager").delete_secret(
        SecretId=f"{bench.id}/airflow/connections/databricks_default", ForceDeleteWithoutRecovery=True
    )
    bench.apply()
    assert set(bench.states().values()) == {"CREATE_COMPLETE"}
    assert bench.clients.s3.get_object(Bucket=f"{bench.id}-raw", Key="k")["Body"].read() == b"kept"


def test_a_configuration_and_subnets_that_brokers_use_cannot_be_deleted(bench: Bench) -> None:
    """As on AWS: the order in which ``destroy`` goes is needed here, too."""
    bench.apply("--stack", "data", "--stack", "network", "--stack", "kafka")
    for kind, resource in (("kafka", "Configuration"), ("network", "Private")):
        with pytest.raises(StackFailedError, match=f"resource {resource}"):
            Deployer(bench.clients.cloudformation, "aws", poll_s=0.2, deadline_s=60).delete(f"{bench.id}-{kind}")


def test_a_change_that_failed_is_named_and_the_next_apply_makes_it(bench: Bench) -> None:
    """LocalStack's word for it is ROLLBACK_COMPLETE, AWS's has UPDATE_ before; for that one see ``test_deployer``."""
    bench.apply()
    bench.cloud.control(fail={"AWS::KafkaConnect::Connector": "no capacity"})
    failed = bench.run("apply", *images(), "--set", "connect.Workers=2")
    told = failed.output.splitlines()[-1]
    assert told.startswith(f"Error: Stack {bench.id}-connect: resource ")
    assert told.endswith(" failed: no capacity")
    assert bench.states()["connect"] == "ROLLBACK_COMPLETE"
    bench.cloud.control()
    bench.apply("--set", "connect.Workers=2")
    assert set(bench.states().values()) == {"CREATE_COMPLETE"}


def test_connectors_that_cannot_be_replaced_are_made_anew_with_their_stack(bench: Bench) -> None:
    stacks = [f"--stack={kind}" for kind in ("data", "network", "kafka", "connect")]
    bench.apply(*stacks)
    slower = ["--set", "connect.FlushIntervalMs=120000"]
    planned = bench.run("plan", "--format", "json", *images(*stacks), *slower)
    assert json.loads(planned.stdout)["made_anew"] == [f"{bench.id}-connect"]
    told = bench.apply(*stacks, *slower)
    assert f"{bench.id}-connect: deleted and recreated" in told
    assert (bench.states()["connect"], bench.states()["kafka"]) == ("CREATE_COMPLETE", "CREATE_COMPLETE")
    assert f"{bench.id}-connect: no changes" in bench.apply(*stacks, *slower)


def test_dag_requirements_and_wheel_lie_in_the_bucket(bench: Bench) -> None:
    stacks = ["--stack", "data", "--stack", "network", "--stack", "mwaa", "--stack", "databricks"]
    told = bench.apply(*stacks)
    bucket, dag = f"{bench.id}-artifacts", (ROOT / "dags" / "batch.py").read_bytes()
    assert bench.clients.s3.get_object(Bucket=bucket, Key="mwaa/dags/batch.py")["Body"].read() == dag
    keys = {item["Key"] for item in bench.clients.s3.list_objects_v2(Bucket=bucket)["Contents"]}
    (wheel,) = keys - {"mwaa/dags/batch.py", "mwaa/requirements.txt", "mwaa/startup.sh"}
    assert wheel.startswith("wheels/pinterest_data_pipeline-")
    assert all(f"s3://{bucket}/{key}: uploaded" in told for key in keys)
    version = bench.clients.s3.head_object(Bucket=bucket, Key="mwaa/requirements.txt")["VersionId"]
    stack = bench.clients.cloudformation.describe_stacks(StackName=f"{bench.id}-mwaa")["Stacks"][0]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    assert given["RequirementsVersion"] == version
    startup = bench.clients.s3.get_object(Bucket=bucket, Key="mwaa/startup.sh")
    assert f"export PIPELINE_ID={bench.id}\n" in startup["Body"].read().decode()
    assert given["StartupVersion"] == startup["VersionId"]
    again = bench.apply(*stacks)
    assert "uploaded" not in again
    assert f"{bench.id}-mwaa: no changes" in again


def proxy_of(bench: Bench) -> "WSGIApplication":
    """The proxy's application, with what its task definition sets, before a cluster in memory."""
    stack = bench.clients.cloudformation.describe_stacks(StackName=f"{bench.id}-proxy")["Stacks"][0]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    [container] = resolve(document("proxy"), given)["Task"]["Properties"]["ContainerDefinitions"]
    env = {item["Name"]: item["Value"] for item in container["Environment"]}
    settings = ProxySettings(pipeline_id=bench.id, path_prefix=env["PROXY_PATH_PREFIX"])
    cluster = MemoryCluster(settings.names, settings.max_record_bytes)
    return create_app(settings, cluster, cluster, CollectorRegistry()).wsgi_app


def produced(bench: Bench) -> Any:
    """What the proxy answers to one record that is sent through the gateway."""
    found = json.loads(bench.run("outputs", "--format", "json").stdout)
    request = urllib.request.Request(
        f"{bench.cloud.endpoint_url}/_aws/execute-api/{found['api']['ApiId']}/dev/topics/{bench.id}.pin",
        data=b'{"records":[{"key":1,"value":{"index":1},"partition":0}]}',
        headers={"x-api-key": bench.env["GATEWAY_API_KEY"], "Content-Type": "application/vnd.kafka.json.v2+json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["offsets"]


def test_interrupted_at_each_stack_it_goes_on(bench: Bench) -> None:
    """kill -9 in each stack, while a resource of it is being made or with its change set not executed yet."""
    slow = {
        "network": ("AWS::EC2::FlowLog", "FlowLog"),
        "kafka": ("AWS::MSK::Cluster", "Cluster"),
        "connect": ("AWS::KafkaConnect::CustomPlugin", "Plugin"),
        "proxy": ("AWS::ECS::Cluster", "Cluster"),
        "emitter": ("AWS::EFS::FileSystem", "Ledger"),
        "mwaa": ("AWS::MWAA::Environment", "Environment"),
        "alarms": ("AWS::CloudWatch::Dashboard", "Dashboard"),
    }
    killed = []
    for kind in USUAL:
        bench.cloud.control(delay_s={slow[kind][0]: 3.0} if kind in slow else {})
        process = bench.start()
        assert process.stdout is not None
        for line in process.stdout:
            moment = f"{bench.id}-{kind}: " if kind not in slow else f"{bench.id}-{kind}: {slow[kind][1]} CREATE_IN"
            if line.startswith(moment):
                process.send_signal(signal.SIGKILL)
                killed.append(kind)
                break
        process.stdout.close()
        process.wait(60)
        bench.cloud.control()
    assert killed == list(USUAL)
    bench.apply()
    assert set(bench.states().values()) == {"CREATE_COMPLETE"}


def test_a_failed_stack_is_named_and_what_comes_after_is_not_begun(bench: Bench) -> None:
    bench.cloud.control(fail={"AWS::ECS::Service": "no capacity"})
    failed = bench.run("apply", *images())
    assert failed.exit_code == 1
    assert failed.output.splitlines()[-1] == f"Error: Stack {bench.id}-proxy: resource Service failed: no capacity"
    states = bench.states()
    assert (states["kafka"], states["api"]) == ("CREATE_COMPLETE", "not there")
    assert bench.run("status").exit_code == 3
    bench.cloud.control()
    assert "its first creation failed and was undone; it is recreated" in bench.apply()
    assert set(bench.states().values()) == {"CREATE_COMPLETE"}


def test_data_is_deleted_only_when_asked_and_ours(bench: Bench) -> None:
    bench.apply("--stack", "data")
    for number in range(3):
        bench.clients.s3.put_object(Bucket=f"{bench.id}-raw", Key="k", Body=str(number).encode())
    assert bench.run("destroy", "--yes", "another").exit_code == 1
    assert bench.states()["data"] == "CREATE_COMPLETE"
    gone = bench.run("destroy", "--yes", bench.id, "--delete-data")
    assert gone.exit_code == 0, gone.output
    assert f"bucket {bench.id}-raw: deleted with 3 versions of objects" in gone.output
    assert bench.id not in json.dumps([bucket["Name"] for bucket in bench.clients.s3.list_buckets()["Buckets"]])


def test_data_that_an_earlier_run_left_is_found_without_its_stack(bench: Bench) -> None:
    bench.apply("--stack", "data")
    assert bench.run("destroy", "--yes", bench.id).exit_code == 0
    listed = bench.run("destroy", "--yes", bench.id)
    assert f"{bench.id}-data: retained AWS::S3::Bucket {bench.id}-raw (paid by size)" in listed.output
    gone = bench.run("destroy", "--yes", bench.id, "--delete-data")
    assert gone.exit_code == 0, gone.output
    assert f"bucket {bench.id}-raw: deleted with 0 versions of objects" in gone.output
    assert bench.id not in json.dumps([bucket["Name"] for bucket in bench.clients.s3.list_buckets()["Buckets"]])
    again = bench.run("destroy", "--yes", bench.id, "--delete-data")
    assert again.exit_code == 0
    assert again.output.startswith(f"looked for Bucket {bench.id}-raw, Bucket {bench.id}-raw-access-logs, ")


def test_a_bucket_of_somebody_else_is_left_alone(bench: Bench) -> None:
    bench.clients.s3.create_bucket(Bucket=f"{bench.id}-raw")
    failed = bench.run("apply", *images())
    assert failed.exit_code == 1
    assert f"Bucket {bench.id}-raw exists and has no tag project={bench.id}" in failed.output
    assert bench.states()["data"] == "not there"


def test_a_bucket_of_another_account_is_left_alone(bench: Bench) -> None:
    theirs = boto3.client(
        "s3",
        endpoint_url=bench.cloud.endpoint_url,
        aws_access_key_id="111111111111",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    theirs.create_bucket(Bucket=f"{bench.id}-lake")
    failed = bench.run("apply", *images())
    assert failed.exit_code == 1
    assert f"Bucket {bench.id}-lake" in failed.output
    assert bench.states()["data"] == "not there"


def test_a_missing_plugin_and_a_wrong_one_are_said(bench: Bench, tmp_path: Path) -> None:
    bench.apply("--stack", "data", "--stack", "network", "--stack", "kafka")
    missing = bench.run("apply", "--stack", "connect", "--plugin", str(tmp_path / "none.zip"))
    assert "none.zip: No such file or directory" in missing.output
    wrong = bench.run("apply", "--stack", "connect", "--plugin-sha256", "f" * 64)
    assert "has SHA-256" in wrong.output
    assert bench.states()["connect"] == "not there"


def test_the_connection_reaches_the_secret_of_airflow(bench: Bench) -> None:
    bench.apply("--stack", "data", "--stack", "network", "--stack", "mwaa")
    stored = bench.run("connection", "--host", "https://dbc.example/", "--client-id", "me", "--client-secret", "s3cret")
    assert stored.exit_code == 0, stored.output
    assert "s3cret" not in stored.output
    value = bench.clients.other("secretsmanager").get_secret_value(
        SecretId=f"{bench.id}/airflow/connections/databricks_default"
    )["SecretString"]
    assert json.loads(value) == {
        "conn_type": "databricks",
        "host": "dbc.example",
        "login": "me",
        "password": "s3cret",
        "extra": {"service_principal_oauth": True},
    }


def test_prod_is_protected(bench: Bench) -> None:
    bench.apply("--size", "prod", "--stack", "data")
    refused = bench.run("destroy", "--yes", bench.id)
    assert f"{bench.id}-data are protected against deletion; nothing was deleted" in refused.output
    assert bench.states()["data"] == "CREATE_COMPLETE"
    assert bench.run("destroy", "--yes", bench.id, "--unprotect").exit_code == 0
    assert bench.states()["data"] == "not there"


def test_the_schema_is_really_asked(bench: Bench) -> None:
    """The plug-in refuses what CloudFormation would refuse."""
    template = {"Resources": {"Bad": {"Type": "AWS::MSK::Topic", "Properties": {"TopicName": "t", "Partitions": 3}}}}
    name = f"{bench.id}-bad"
    bench.clients.cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def status() -> str:
        return str(bench.clients.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    wait_until("the stack is made, or refused", lambda: not status().endswith("_IN_PROGRESS"))
    assert status() != "CREATE_COMPLETE"
    events = bench.clients.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    reasons = " ".join(event.get("ResourceStatusReason", "") for event in events)
    assert "Partitions" in reasons or "required property" in reasons
