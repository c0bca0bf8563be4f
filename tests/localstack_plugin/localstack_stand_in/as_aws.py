"""Where LocalStack is more lenient than AWS: made as strict, before its first request.

Sources: the API Gateway developer guide, "Private integrations for REST APIs", and the CloudFormation user guide,
"Import AWS resources into a stack automatically".
"""

import json
from typing import Any
from urllib.parse import urlsplit

from localstack.runtime import hooks

_PRIVATE: set[str] = set()
"""URIs of integrations that go through a VPC link to an ``integrationTarget``."""
_RUNNING: dict[str, Any] = {}
"""The change set that was executed last, by the name of its stack."""
_ADOPTABLE = {"AWS::S3::Bucket": "BucketName", "AWS::Kinesis::Stream": "Name"}
"""Types that outlive their stack and that LocalStack has, and the property that names them."""


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # LocalStack is in no environment of ours
def as_strict_as_aws() -> None:
    """Run by LocalStack at its start."""
    _forward_the_stage()
    _adopt_only_what_is_named_literally()
    _detect_drift()
    _keep_the_name_in_the_parameter_store()


def _forward_the_stage() -> None:
    """A private integration's request has the stage in front of its path; LocalStack's import forgets the link."""
    from localstack.services.apigateway.legacy import provider  # noqa: PLC0415 (LocalStack loads services late)
    from localstack.services.apigateway.next_gen.execute_api.integrations.http import (  # noqa: PLC0415
        RestApiHttpProxyIntegration,
    )

    import_api, invoke = provider.import_api_from_openapi_spec, RestApiHttpProxyIntegration.invoke

    def remember_private(*given: Any, open_api_spec: dict[str, Any], **more: Any) -> Any:
        for path in open_api_spec.get("paths", {}).values():
            for method in path.values():
                integration = method.get("x-amazon-apigateway-integration", {}) if isinstance(method, dict) else {}
                if integration.get("connectionType") == "VPC_LINK" and integration.get("integrationTarget"):
                    _PRIVATE.add(integration["uri"])
        return import_api(*given, open_api_spec=open_api_spec, **more)

    def with_stage(integration: Any, context: Any) -> Any:
        if context.integration["uri"] in _PRIVATE:
            parts = urlsplit(context.integration_request["uri"])
            context.integration_request["uri"] = parts._replace(path=f"/{context.stage}{parts.path}").geturl()
        return invoke(integration, context)

    provider.import_api_from_openapi_spec = remember_private
    RestApiHttpProxyIntegration.invoke = with_stage


def _adopt_only_what_is_named_literally() -> None:
    """Creation fails where the name is taken, unless the change set imports it under a name that is a plain string."""
    from localstack.services.cloudformation.engine.v2.change_set_model_executor import (  # noqa: PLC0415
        ChangeSetModelExecutor,
    )
    from localstack.services.cloudformation.resource_provider import OperationStatus, ProgressEvent  # noqa: PLC0415
    from localstack.services.cloudformation.v2.entities import ChangeSet  # noqa: PLC0415
    from localstack.services.kinesis.resource_providers.aws_kinesis_stream import KinesisStreamProvider  # noqa: PLC0415
    from localstack.services.s3.resource_providers.aws_s3_bucket import S3BucketProvider  # noqa: PLC0415

    construct, execute = ChangeSet.__init__, ChangeSetModelExecutor.execute

    def remember_request(change_set: Any, stack: Any, request_payload: Any, *rest: Any, **more: Any) -> None:
        construct(change_set, stack, request_payload, *rest, **more)
        change_set.imports = bool(request_payload.get("ImportExistingResources"))

    def remember_run(executor: Any) -> Any:
        _RUNNING[executor._change_set.stack.stack_name] = executor._change_set
        return execute(executor)

    def refusing(kind: str, create: Any) -> Any:
        def create_or_adopt(provider: Any, request: Any) -> Any:
            name = request.desired_state.get(_ADOPTABLE[kind])
            if request.custom_context == {} and name and _is_there(kind, name, request) and not _may_adopt(request):
                reason = f"{name} already exists"
                return ProgressEvent(OperationStatus.FAILED, resource_model={}, message=reason)
            return create(provider, request)

        return create_or_adopt

    ChangeSet.__init__ = remember_request
    ChangeSetModelExecutor.execute = remember_run
    for provider in (S3BucketProvider, KinesisStreamProvider):
        provider.create = refusing(provider.TYPE, provider.create)


def _is_there(kind: str, name: str, request: Any) -> bool:
    clients = request.aws_client_factory
    if kind == "AWS::S3::Bucket":
        return name in {bucket["Name"] for bucket in clients.s3.list_buckets()["Buckets"]}
    return name in clients.kinesis.list_streams()["StreamNames"]


def _may_adopt(request: Any) -> bool:
    running = _RUNNING[request.stack_name]
    resource = json.loads(running.template_body)["Resources"][request.logical_resource_id]
    kept = resource.get("DeletionPolicy") in {"Retain", "RetainExceptOnCreate"}
    named = isinstance(resource["Properties"].get(_ADOPTABLE[request.resource_type]), str)
    return bool(running.imports and kept and named)


def _detect_drift() -> None:
    """The calls that compare resources with their template. What stands here changes only by templates: no drift."""
    from localstack.services.cloudformation.v2.provider import CloudformationProviderV2  # noqa: PLC0415

    def detect(_provider: Any, _context: Any, stack_name: str, **_more: Any) -> dict[str, str]:
        return {"StackDriftDetectionId": f"drift-of-{stack_name}"}

    def status(_provider: Any, _context: Any, stack_drift_detection_id: str, **_more: Any) -> dict[str, Any]:
        detection = {"StackDriftDetectionId": stack_drift_detection_id, "StackId": "", "StackDriftStatus": "IN_SYNC"}
        return {**detection, "DetectionStatus": "DETECTION_COMPLETE", "Timestamp": 0, "DriftedStackResourceCount": 0}

    def drifts(_provider: Any, _context: Any, **_more: Any) -> dict[str, Any]:
        return {"StackResourceDrifts": []}

    CloudformationProviderV2.detect_stack_drift = detect
    CloudformationProviderV2.describe_stack_drift_detection_status = status
    CloudformationProviderV2.describe_stack_resource_drifts = drifts


def _keep_the_name_in_the_parameter_store() -> None:
    """UsePreviousValue keeps the name in the parameter store that was given; LocalStack takes its value for a name."""
    from localstack.services.cloudformation.v2.provider import CloudformationProviderV2  # noqa: PLC0415

    extract = CloudformationProviderV2._extract_after_parameters

    def by_name(given: Any, before: dict[str, dict[str, Any]] | None = None) -> Any:
        named = {
            key: {**value, "resolved_value": None} if value["type_"].startswith("AWS::SSM::") else value
            for key, value in (before or {}).items()
        }
        return extract(given, named)

    CloudformationProviderV2._extract_after_parameters = staticmethod(by_name)
