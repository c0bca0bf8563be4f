"""One resource provider for every type: validates, remembers, answers with attributes of the right form."""

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from localstack.services.cloudformation.resource_provider import OperationStatus, ProgressEvent, ResourceProvider

from localstack_stand_in.kinds import ARNS, NAMED_BY
from localstack_stand_in.schema import InvalidPropertyError, Schema
from localstack_stand_in.topics import delete_topic, ensure_topic

_THERE: dict[str, dict[str, dict[str, Any]]] = {}
"""Everything that was made, by type and identifier. LocalStack forgets at its end, and so does this."""


def brokers_of(*, configuration: str = "", subnet: str = "") -> list[str]:
    """ARNs of clusters that use a configuration, or are in a subnet."""
    return [
        arn
        for arn, model in _THERE.get("AWS::MSK::Cluster", {}).items()
        if configuration == model["ConfigurationInfo"]["Arn"] or subnet in model["BrokerNodeGroupInfo"]["ClientSubnets"]
    ]


class StandIn(ResourceProvider[Any]):  # type: ignore[misc]  # LocalStack is in no environment of ours
    """Subclasses say which type."""

    TYPE: str

    def __init__(self) -> None:
        self._schema = Schema(self.TYPE)
        self.SCHEMA = self._schema.document

    def create(self, request: Any) -> ProgressEvent[Any]:
        """Make it, unless the schema refuses it or its name is taken."""
        try:
            self._hold_up()
            model = self._schema.checked(request.desired_state)
            self._refuse_twin(model)
            model |= self._attributes(model, request)
            if self.TYPE == "AWS::MSK::Topic":
                ensure_topic(model)
        except InvalidPropertyError as error:
            return ProgressEvent(OperationStatus.FAILED, resource_model={}, message=str(error))
        self._there()[self._identifier(model)] = model
        return ProgressEvent(OperationStatus.SUCCESS, resource_model=model)

    def update(self, request: Any) -> ProgressEvent[Any]:
        """Change it in place."""
        before = request.previous_state
        read_only = {path: before[path] for path in self._schema.paths("readOnlyProperties") if path in before}
        try:
            self._hold_up()
            wanted = {key: value for key, value in request.desired_state.items() if key not in read_only}
            model = self._schema.checked(wanted)
            fixed = [path for path in self._schema.paths("createOnlyProperties") if "/" not in path]
            changed = [path for path in fixed if path not in read_only and model.get(path) != before.get(path)]
            unnamed = set(changed) & set(self._schema.paths("primaryIdentifier")) - set(wanted)
            if set(changed) - unnamed:
                raise InvalidPropertyError(f"{', '.join(changed)} cannot be changed in place")
            model = {**{path: before[path] for path in unnamed}, **model, **read_only}
            if self._identifier(model) not in self._there():
                raise InvalidPropertyError(f"{self._identifier(model)} was not found")
            if self.TYPE == "AWS::MSK::Configuration":
                revision = str(int(before["LatestRevision"]["Revision"]) + 1)
                model["LatestRevision"] = {**before["LatestRevision"], "Revision": revision}
            if self.TYPE == "AWS::MSK::Topic":
                ensure_topic(model)
        except InvalidPropertyError as error:
            return ProgressEvent(OperationStatus.FAILED, resource_model=before, message=str(error))
        self._there()[self._identifier(model)] = model
        return ProgressEvent(OperationStatus.SUCCESS, resource_model=model)

    def delete(self, request: Any) -> ProgressEvent[Any]:
        """Unmake it."""
        model = request.previous_state or request.desired_state
        if not set(self._schema.paths("primaryIdentifier")) <= set(model):
            # LocalStack asks for the deletion of what could not be made, too.
            return ProgressEvent(OperationStatus.SUCCESS, resource_model={})
        try:
            self._hold_up()
            if self.TYPE == "AWS::EC2::EIP":
                request.aws_client_factory.ec2.release_address(AllocationId=model["AllocationId"])
            if self.TYPE == "AWS::MSK::Topic":
                delete_topic(model)
            if self.TYPE == "AWS::MSK::Configuration" and brokers_of(configuration=model["Arn"]):
                raise InvalidPropertyError("Configuration is in use by one or more clusters")
        except InvalidPropertyError as error:
            return ProgressEvent(OperationStatus.FAILED, resource_model=model, message=str(error))
        self._there().pop(self._identifier(model), None)
        return ProgressEvent(OperationStatus.SUCCESS, resource_model={})

    def _there(self) -> dict[str, dict[str, Any]]:
        return _THERE.setdefault(self.TYPE, {})

    def _identifier(self, model: dict[str, Any]) -> str:
        return "|".join(str(model[path]) for path in self._schema.paths("primaryIdentifier"))

    def _refuse_twin(self, model: dict[str, Any]) -> None:
        name = NAMED_BY.get(self.TYPE)
        if name and any(other.get(name) == model.get(name) for other in self._there().values()):
            raise InvalidPropertyError(f"{model[name]} already exists")

    def _hold_up(self) -> None:
        """Fail or wait, where the test has said so."""
        control = Path(os.environ["STAND_IN_CONTROL"])
        asked = json.loads(control.read_text()) if control.exists() else {}
        time.sleep(asked.get("delay_s", {}).get(self.TYPE, 0))
        if reason := asked.get("fail", {}).get(self.TYPE):
            raise InvalidPropertyError(reason)

    def _attributes(self, model: dict[str, Any], request: Any) -> dict[str, Any]:
        """Values of identifiers and read-only properties."""
        unique = str(uuid.uuid4())
        words = {
            **model,
            "region": request.region_name,
            "account": request.account_id,
            "elb": f"elasticloadbalancing:{request.region_name}:{request.account_id}",
            "unique": unique,
            "short": unique.replace("-", "")[:16],
            "logical": request.logical_resource_id,
            "revision": len(self._there()) + 1,
            "cluster": model.get("ClusterArn", "").partition(":cluster/")[2],
        }
        arn = f"arn:aws:{ARNS[self.TYPE].format_map(words)}" if ARNS[self.TYPE] else ""
        match self.TYPE:
            case "AWS::MSK::Cluster":
                return {"Arn": arn, "CurrentVersion": "K1"}
            case "AWS::MSK::Configuration":
                # A text, because LocalStack's GetAtt takes no number.
                return {"Arn": arn, "LatestRevision": {"Revision": "1", "CreationTime": "now", "Description": ""}}
            case "AWS::ElasticLoadBalancingV2::LoadBalancer":
                full = arn.partition(":loadbalancer/")[2]
                address = os.environ.get("STAND_IN_PROXY", f"{words['short']}.example.invalid")
                named = {"LoadBalancerName": words["logical"], "CanonicalHostedZoneID": "Z1"}
                return {"LoadBalancerArn": arn, "LoadBalancerFullName": full, "DNSName": address, **named}
            case "AWS::ElasticLoadBalancingV2::TargetGroup":
                full = "targetgroup" + arn.partition(":targetgroup")[2]
                name = words["logical"]
                return {"TargetGroupArn": arn, "TargetGroupFullName": full, "TargetGroupName": name}
            case "AWS::MWAA::Environment":
                return {"Arn": arn, "WebserverUrl": f"{words['short']}.example.invalid"}
            case "AWS::EC2::EIP":
                made = request.aws_client_factory.ec2.allocate_address(Domain="vpc")
                return {"PublicIp": made["PublicIp"], "AllocationId": made["AllocationId"]}
            case "AWS::EC2::LaunchTemplate":
                version = {"LatestVersionNumber": "1", "DefaultVersionNumber": "1"}
                return {"LaunchTemplateId": f"lt-{words['short']}", **version}
        return self._by_form(model, arn, words)

    def _by_form(self, model: dict[str, Any], arn: str, words: dict[str, Any]) -> dict[str, Any]:
        """ARNs where a name says ARN; identifiers and names that nobody gave."""
        found: dict[str, Any] = {}
        wanted = [*self._schema.paths("primaryIdentifier"), *self._schema.paths("readOnlyProperties")]
        for path in wanted:
            if "/" in path or path in model:
                continue
            if path.endswith("Arn"):
                found[path] = arn
            elif path == "FileSystemId":
                found[path] = f"fs-{words['short']}"
            elif path == "VpcLinkId":
                found[path] = words["short"][:6]
            elif path == "Revision":
                found[path] = 1
            elif path.endswith(("Id", "Name")):
                found[path] = f"{words['logical'].lower()}-{words['short']}"
        return found
