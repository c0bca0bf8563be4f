"""What a deployment needs of an account besides CloudFormation: addresses, images, plugins, names that are taken."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from botocore.exceptions import ClientError
from pydantic import SecretStr

from aws_deploy.checkout import Checkout, Registry
from aws_deploy.clients import Clients
from aws_deploy.errors import ForeignResourceError, MissingImageError, SettingError
from aws_deploy.leftovers import BROKERS, SECRET, Leftover, look, places, unless_gone
from aws_deploy.own_names import Service, artifact_bucket, repository
from aws_deploy.wanted import Outputs, StackKind, Wanted

_DIGEST = "sha256"
_STARTUP_SCRIPT = """#!/bin/sh
export PIPELINE_ID={}
"""
"""What MWAA's processes run before Airflow: the DAG's names follow from it."""
# CloudFormation finds these two by ARN only, not by their name.
_CANNOT_BE_TAKEN_OVER = {
    BROKERS: "Once all is in S3, delete it with `aws kafka delete-cluster --cluster-arn {0.physical_id}` and apply "
    "again",
    SECRET: "Delete it with `aws secretsmanager delete-secret --force-delete-without-recovery --secret-id "
    "{0.place.name}`, apply again, and store the connection again",
}
IMAGE_OF: Mapping[StackKind, Service] = {
    "proxy": "proxy",
    "emitter": "emitter",
    "popularity": "stream-reader",
    "dashboard": "dashboard",
}
"""The service whose image a stack runs."""


class Surroundings(Protocol):
    """Asked before and after each stack."""

    def before(self, kind: StackKind, wanted: Wanted, has: Mapping[str, str]) -> Wanted:
        """Make ready what the stack needs, and say what is wanted with that filled in.

        ``has`` are the parameters that the stack has now: image and plug-in stay where nobody names others.

        Raises:
            SettingError, MissingImageError: something is missing; the text says what to do.
        """

    def has_leftovers(self, kind: StackKind, wanted: Wanted) -> bool:
        """Whether resources that an earlier deployment left (they are retained) carry the new stack's names.

        Raises:
            ForeignResourceError: one of the names is taken, and not by this pipeline.
        """

    def after(self, kind: StackKind, outputs: Outputs) -> Outputs:
        """The outputs of a stack, with what CloudFormation cannot give."""


class Nothing:
    """For the laptop's three stacks, which need nothing."""

    def before(self, kind: StackKind, wanted: Wanted, has: Mapping[str, str]) -> Wanted:  # noqa: ARG002
        """As it is."""
        return wanted

    def has_leftovers(self, kind: StackKind, wanted: Wanted) -> bool:  # noqa: ARG002
        """LocalStack takes over a bucket or stream by itself."""
        return False

    def after(self, kind: StackKind, outputs: Outputs) -> Outputs:  # noqa: ARG002
        """As they are."""
        return outputs


@dataclass(frozen=True)
class Account:
    """An AWS account, or LocalStack in its place."""

    clients: Clients
    plugin: Path | None = None
    """The connector's zip; None where it has been uploaded before and ``Wanted.plugin_sha256`` names it."""
    tag: str = ""
    """Tag of the images to look up; empty where ``Wanted.images`` names them all by digest."""
    plugin_sha256: str = ""
    """What the zip must hash to; empty for any."""
    checkout: Checkout | None = None
    """What DAG, wheel and images are made of; None where there is none."""
    tell: Callable[[str], object] = lambda _line: None
    """Is told what is built, pushed and uploaded, a line each."""

    def before(self, kind: StackKind, wanted: Wanted, has: Mapping[str, str]) -> Wanted:
        """Upload plugin, Airflow's files, wheel; look up an image's digest, and build and push a missing one."""
        if kind == "connect":
            return replace(wanted, plugin_sha256=self._upload_plugin(wanted, has.get("PluginSha256", "")))
        if kind == "mwaa":
            script = _STARTUP_SCRIPT.format(wanted.names.pipeline_id).encode()
            startup = self._upload(wanted, "mwaa/startup.sh", script)
            return replace(wanted, startup_version=startup, requirements_version=self._upload_airflow(wanted))
        if kind == "databricks":
            self._upload_wheel(wanted)
        service = IMAGE_OF.get(kind)
        if service and service not in wanted.images and (self.tag or "Image" not in has):
            return replace(wanted, images={**wanted.images, service: self._ready_image(service, wanted)})
        return wanted

    def has_leftovers(self, kind: StackKind, wanted: Wanted) -> bool:
        """Look at what has the names that the stack will take: buckets, streams, repositories, brokers, a secret.

        Raises:
            ForeignResourceError: see the base.
            SettingError: it is ours, and CloudFormation cannot take it over; says how to delete it.
        """
        found = False
        for place in places(wanted.names, [kind], self.clients.target):
            if there := look(self.clients, place):
                _check_ours(there, wanted.names.pipeline_id)
                if advice := _CANNOT_BE_TAKEN_OVER.get(place.kind):
                    raise SettingError(f"{place} of an earlier deployment is still there. {advice.format(there)}")
                found = True
        return found

    def after(self, kind: StackKind, outputs: Outputs) -> Outputs:
        """Brokers' addresses, in a fixed order: no CloudFormation attribute holds them, and MSK gives them in any."""
        if kind != "kafka" or "ClusterArn" not in outputs:
            return outputs
        found = self.clients.other("kafka").get_bootstrap_brokers(ClusterArn=outputs["ClusterArn"])
        return {**outputs, "BootstrapServers": ",".join(sorted(found["BootstrapBrokerStringSaslIam"].split(",")))}

    def image(self, service: Service, wanted: Wanted) -> str:
        """The service's image by its digest.

        Raises:
            MissingImageError: there is none with this tag; the text gives the commands that put one there.
        """
        name = repository(wanted.names, service)
        if not self.tag:
            raise SettingError(f"No image of {service}: give --tag, or --image {service}=…@sha256:…")
        ecr = self.clients.other("ecr")
        try:
            found = ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": self.tag}])
            address = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"ImageNotFoundException", "RepositoryNotFoundException"}:
                raise
            raise MissingImageError(
                f"There is no image {name}:{self.tag}. `apply` builds and pushes it from a checkout on a machine "
                f"with Docker. Or build it, then `docker tag {service} <registry>/{name}:{self.tag}` and "
                "`docker push` it (`aws ecr get-login-password | docker login …` first), and apply again"
            ) from error
        return f"{address}@{found['imageDetails'][0]['imageDigest']}"

    def can_build(self) -> bool:
        """Whether an image that is missing can be built here."""
        return self.checkout is not None and self.checkout.docker_answers()

    def _ready_image(self, service: Service, wanted: Wanted) -> str:
        try:
            return self.image(service, wanted)
        except MissingImageError:
            if self.checkout is None or not self.can_build():
                raise
        ecr = self.clients.other("ecr")
        name = repository(wanted.names, service)
        address = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]
        image = f"{address}:{self.tag}"
        self.tell(f"image {image}: building, which may take minutes")
        self.checkout.build(service, image)
        given = ecr.get_authorization_token()["authorizationData"][0]
        user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
        self.tell(f"image {image}: pushing")
        self.checkout.push(image, Registry(address.partition("/")[0], user, SecretStr(password)))
        return self.image(service, wanted)

    def _upload_airflow(self, wanted: Wanted) -> str:
        """Puts DAGs and requirements there; the version of the latter. Without a checkout: the one that is there."""
        if self.checkout is None:
            self.tell("DAG and requirements: as they are in the bucket, there is no checkout to take others from")
            return self._version(wanted, "mwaa/requirements.txt") or ""
        versions = {
            name: self._upload(wanted, f"mwaa/{name}", content)
            for name, content in self.checkout.airflow_files().items()
        }
        return versions["requirements.txt"]

    def _upload_wheel(self, wanted: Wanted) -> None:
        if self.checkout is None:
            self.tell("wheel: as it is in the bucket, there is no checkout to build another from")
            return
        name, content = self.checkout.wheel()
        self._upload(wanted, f"wheels/{name}", content)

    def _upload(self, wanted: Wanted, key: str, content: bytes) -> str:
        """Put an object where it is not there with this content already; its version."""
        digest = hashlib.sha256(content).hexdigest()
        if there := self._version(wanted, key, digest):
            return there
        bucket = artifact_bucket(wanted.names)
        made = self.clients.s3.put_object(Bucket=bucket, Key=key, Body=content, Metadata={_DIGEST: digest})
        self.tell(f"s3://{bucket}/{key}: uploaded")
        return made["VersionId"]

    def _version(self, wanted: Wanted, key: str, digest: str | None = None) -> str | None:
        try:
            found = self.clients.s3.head_object(Bucket=artifact_bucket(wanted.names), Key=key)
        except ClientError as error:
            unless_gone(error)
            return None
        return found["VersionId"] if digest in {None, found["Metadata"].get(_DIGEST)} else None

    def _upload_plugin(self, wanted: Wanted, deployed: str) -> str:
        bucket = artifact_bucket(wanted.names)
        digest = wanted.plugin_sha256 or self.plugin_sha256 or deployed
        if self.plugin is not None:
            try:
                content = self.plugin.read_bytes()
            except OSError as error:
                raise SettingError(f"--plugin {self.plugin}: {error.strerror}") from error
            digest = hashlib.sha256(content).hexdigest()
            if self.plugin_sha256 not in {"", digest}:
                raise SettingError(f"--plugin {self.plugin} has SHA-256 {digest}, not {self.plugin_sha256}")
            if not self._has_object(bucket, f"plugins/{digest}.zip"):
                self.clients.s3.put_object(Bucket=bucket, Key=f"plugins/{digest}.zip", Body=content)
        if not digest:
            raise SettingError("Stack connect needs the S3 sink connector: give --plugin with its zip (see the README)")
        if not self._has_object(bucket, f"plugins/{digest}.zip"):
            raise SettingError(f"s3://{bucket}/plugins/{digest}.zip is not there; give --plugin")
        return digest

    def _has_object(self, bucket: str, key: str) -> bool:
        try:
            self.clients.s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            return unless_gone(error)
        return True


def _check_ours(there: Leftover, project: str) -> None:
    if there.tags is None:
        raise ForeignResourceError(
            f"{there.place} belongs to somebody else (bucket names are global). Choose another PIPELINE_ID"
        )
    if not there.ours(project):
        raise ForeignResourceError(
            f"{there.place} exists and has no tag project={project}: it is not this pipeline's. Choose another "
            "PIPELINE_ID, or tag it if it is yours: it is taken over then"
        )
