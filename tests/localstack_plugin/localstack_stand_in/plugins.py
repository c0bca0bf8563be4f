"""What the entry points name: a plug-in class for each type, made when it is asked for."""

import json
import os
from typing import Any
from urllib.parse import unquote

from localstack.services.cloudformation.resource_provider import CloudFormationResourceProviderPlugin

from localstack_stand_in.kinds import KINDS, attribute


def _plugin(kind: str) -> type[CloudFormationResourceProviderPlugin]:
    class StandInPlugin(CloudFormationResourceProviderPlugin):  # type: ignore[misc]  # LocalStack is in no environment of ours
        name = kind

        def __init__(self) -> None:
            self.factory: Any = None

        def load(self) -> None:
            from localstack_stand_in.provider import StandIn  # noqa: PLC0415 (LocalStack loads providers late)

            self.factory = type(f"{attribute(kind)}StandIn", (StandIn,), {"TYPE": kind})
            if kind == "AWS::MSK::Cluster":
                _answer_for_brokers()
                _keep_their_subnets()
                _let_deletions_fail()

    return StandInPlugin


def _answer_for_brokers() -> None:
    """The calls to MSK that a deployment needs beside CloudFormation: LocalStack has no such service."""
    from localstack.http import Response  # noqa: PLC0415
    from localstack.services.edge import ROUTER  # noqa: PLC0415

    def bootstrap_brokers(_request: Any, arn: str) -> Response:
        from localstack_stand_in.provider import _THERE  # noqa: PLC0415

        if unquote(arn) not in _THERE.get("AWS::MSK::Cluster", {}):
            return Response(json.dumps({"message": "no such cluster"}), 404, {"x-amzn-errortype": "NotFoundException"})
        servers = os.environ.get("STAND_IN_KAFKA", "b-1.example.invalid:9098")
        return Response(json.dumps({"bootstrapBrokerStringSaslIam": servers}), 200)

    def delete_cluster(_request: Any, arn: str) -> Response:
        from localstack_stand_in.provider import _THERE  # noqa: PLC0415

        _THERE["AWS::MSK::Cluster"][unquote(arn)]["State"] = "DELETING"
        topics = _THERE.get("AWS::MSK::Topic", {})
        for name in [name for name, topic in topics.items() if topic["ClusterArn"] == unquote(arn)]:
            del topics[name]
        return Response(json.dumps({"clusterArn": unquote(arn), "state": "DELETING"}), 200)

    def list_clusters(request: Any) -> Response:
        """One that is being deleted is seen once more, and then it is gone."""
        from localstack_stand_in.provider import _THERE  # noqa: PLC0415

        there = _THERE.get("AWS::MSK::Cluster", {})
        found = [
            {"clusterArn": arn, "clusterName": name, "state": model.get("State", "ACTIVE"), "tags": model["Tags"]}
            for arn, model in there.items()
            if (name := model["ClusterName"]).startswith(request.args.get("clusterNameFilter", ""))
        ]
        for cluster in found:
            if cluster["state"] == "DELETING":
                del there[cluster["clusterArn"]]
        return Response(json.dumps({"clusterInfoList": found}), 200)

    ROUTER.add("/v1/clusters/<path:arn>/bootstrap-brokers", bootstrap_brokers, methods=["GET"])
    ROUTER.add("/v1/clusters/<path:arn>", delete_cluster, methods=["DELETE"])
    ROUTER.add("/v1/clusters", list_clusters, methods=["GET"])


def _keep_their_subnets() -> None:
    """EC2 deletes no subnet that has an interface in it, such as a broker's; LocalStack does not look."""
    from moto.ec2.exceptions import DependencyViolationError  # type: ignore[import-not-found]  # noqa: PLC0415
    from moto.ec2.models.subnets import SubnetBackend  # type: ignore[import-not-found]  # noqa: PLC0415

    delete = SubnetBackend.delete_subnet

    def delete_unless_used(backend: Any, subnet_id: str) -> Any:
        from localstack_stand_in.provider import brokers_of  # noqa: PLC0415

        if brokers_of(subnet=subnet_id):
            raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        return delete(backend, subnet_id)

    SubnetBackend.delete_subnet = delete_unless_used


def _let_deletions_fail() -> None:
    """A stack whose resource could not be deleted is DELETE_FAILED; LocalStack calls it deleted a moment later."""
    from localstack.services.cloudformation.v2.entities import Stack  # noqa: PLC0415

    set_status = Stack.set_stack_status

    def unless_failed(stack: Any, status: str, *rest: Any, **more: Any) -> None:
        if (stack.status, status) != ("DELETE_FAILED", "DELETE_COMPLETE"):
            set_status(stack, status, *rest, **more)

    Stack.set_stack_status = unless_failed


PLUGINS = {attribute(kind): _plugin(kind) for kind in KINDS}


def __getattr__(name: str) -> Any:
    try:
        return PLUGINS[name]
    except KeyError:
        raise AttributeError(name) from None
