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

    return StandInPlugin


def _answer_for_brokers() -> None:
    """The two calls to MSK that a deployment needs beside CloudFormation: LocalStack has no such service."""
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

        _THERE.get("AWS::MSK::Cluster", {}).pop(unquote(arn), None)
        topics = _THERE.get("AWS::MSK::Topic", {})
        for name in [name for name, topic in topics.items() if topic["ClusterArn"] == unquote(arn)]:
            del topics[name]
        return Response(json.dumps({"clusterArn": unquote(arn), "state": "DELETING"}), 200)

    ROUTER.add("/v1/clusters/<path:arn>/bootstrap-brokers", bootstrap_brokers, methods=["GET"])
    ROUTER.add("/v1/clusters/<path:arn>", delete_cluster, methods=["DELETE"])


PLUGINS = {attribute(kind): _plugin(kind) for kind in KINDS}


def __getattr__(name: str) -> Any:
    try:
        return PLUGINS[name]
    except KeyError:
        raise AttributeError(name) from None
