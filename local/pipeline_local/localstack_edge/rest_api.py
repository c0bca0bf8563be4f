"""What LocalStack's REST APIs lack of AWS's: reasons of a refused body, templates of gateway responses, strict reading.

On AWS ``$context.error.validationErrorString`` says why a model refused a body, and a gateway response is rendered
from its template (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gatewayResponse-definition.html).
LocalStack 4.14.0 leaves the first empty and the second out, both as to do in its code.
"""

import json
import re
import threading
from typing import Any

from pipeline_local.localstack_edge import bodies

_VARIABLE = re.compile(r"\$context((?:\.[A-Za-z]+)+)")
_lock = threading.Lock()
_installed = threading.Event()


def install() -> None:
    """Put the two handlers below into LocalStack's classes. Their import takes a second: not at the start."""
    with _lock:
        if _installed.is_set():
            return
        from localstack.services.apigateway.next_gen.execute_api.handlers.gateway_exception import (  # noqa: PLC0415
            GatewayExceptionHandler,
        )
        from localstack.services.apigateway.next_gen.execute_api.handlers.method_request import (  # noqa: PLC0415
            MethodRequestHandler,
        )

        MethodRequestHandler.__call__ = _check_request
        GatewayExceptionHandler.create_exception_response = _gateway_response
        _installed.set()


def _check_request(_handler: object, _chain: object, context: Any, _response: object) -> None:
    """In the place of LocalStack's validation; the key has been looked at. What goes to the proxy passes as it is."""
    from localstack.services.apigateway.next_gen.execute_api import gateway_response as gateway  # noqa: PLC0415

    request = context.invocation_request
    if len(request["body"]) > bodies.MAX_BYTES:
        raise gateway.RequestTooLargeError("Request Entity Too Large")
    if context.integration["type"] != "AWS":
        return
    headers = request["headers"]
    kinds = headers.getlist("Content-Type")
    if not all(bodies.is_json_type(kind) for kind in kinds) or len(kinds) > 1:
        raise gateway.UnsupportedMediaTypeError("Unsupported Media Type")
    if kinds:
        headers["Content-Type"] = "application/json"  # templates are found by this very text
    if not (context.resource_method.get("requestValidatorId") or "").strip():
        return
    from pipeline_local.localstack_edge.reasons import reasons  # noqa: PLC0415

    try:
        wrong = reasons(bodies.read(request["body"]), _model(context))
    except bodies.BodyError as error:
        wrong = [str(error)]
    if wrong:
        refused = gateway.BadRequestBodyError("Invalid request body")
        refused.validation_error = f"[{'; '.join(wrong)}]"
        raise refused


def _model(context: Any) -> dict[str, Any]:
    from localstack.services.apigateway.helpers import ModelResolver  # noqa: PLC0415

    models = context.resource_method.get("requestModels") or {}
    resolver = ModelResolver(rest_api_container=context.deployment.rest_api, model_name=models["application/json"])
    model: dict[str, Any] = resolver.get_resolved_model()
    return model


def _gateway_response(_handler: object, exception: Any, context: Any) -> Any:
    """In the place of LocalStack's fixed text: the template of the gateway response, its variables put in."""
    from localstack.http import Response  # noqa: PLC0415
    from localstack.services.apigateway.next_gen.execute_api import gateway_response as gateway  # noqa: PLC0415

    found = gateway.get_gateway_response_or_default(exception.type, context.deployment.rest_api.gateway_responses)
    template = (found.get("responseTemplates") or {}).get(
        "application/json", '{"message":$context.error.messageString}'
    )
    error = context.context_variables["error"]
    error["validationErrorString"] = getattr(exception, "validation_error", "")
    text = _VARIABLE.sub(lambda variable: _value(context.context_variables, variable[1]), template)
    return Response(
        response=text,
        headers={"Content-Type": "application/json", "x-amzn-ErrorType": exception.code},
        status=found.get("statusCode") or exception.status_code or 500,
    )


def _value(variables: Any, path: str) -> str:
    """One variable as text inside of JSON's quotes; ``messageString`` alone brings its own."""
    value = variables
    for name in path.strip(".").split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    quoted = json.dumps(str(value))
    return quoted if path == ".error.messageString" else quoted[1:-1]
