"""From a template file to the text that CloudFormation gets."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from aws_deploy.connectors import Node, connectors_folder, include_connectors
from aws_deploy.resolve import known_value

MAX_BODY_BYTES = 51_200
"""What CloudFormation takes in a call; more must lie in a bucket."""

NAMED_BY = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::Kinesis::Stream": "Name",
    "AWS::ECR::Repository": "RepositoryName",
}
"""Types whose resources outlive their stack and are taken over by the next one, and the property that names them."""

_REST_API = "AWS::ApiGateway::RestApi"
_GATEWAY_RESPONSE = "AWS::ApiGateway::GatewayResponse"
_DEPLOYMENT = "AWS::ApiGateway::Deployment"


def template_path(stack: str) -> Path:
    """Where the template of one stack lies: inside an installed package, else beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "templates"
    return (installed if installed.is_dir() else package.parent / "templates") / f"{stack}.yaml"


def parse(template: str) -> dict[str, Any]:
    """The template as it is written, its aliases resolved."""
    # The parser in C takes a tenth of the time.
    document: dict[str, Any] = yaml.load(template, Loader=yaml.CSafeLoader)
    return document


def render(template: str, parameters: Mapping[str, str]) -> str:
    """The template as JSON: no aliases, the connectors' files put in, the body's hash in each API deployment's id.

    Names of what can be taken over (``NAMED_BY``) are plain strings, since CloudFormation imports no resource whose
    name is an intrinsic function.

    The hash covers what a deployment is a snapshot of: the API's body and gateway responses, the mappings and
    conditions that these name, and the values of parameters that they name. Parameters with ``NoEcho`` are left
    out: a hash of a secret does not belong into a name.

    Raises:
        ValueError: the text is longer than CloudFormation takes in a call.
    """
    document = parse(template)
    document["Resources"] = resources = _with_connectors(document["Resources"])
    _name_literally(document, parameters)
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    for name in [name for name, resource in resources.items() if resource.get("Type") == _DEPLOYMENT]:
        body = _snapshot(document)
        secret = {key for key, value in document["Parameters"].items() if value.get("NoEcho")}
        values = {key: value for key, value in parameters.items() if key in body and key not in secret}
        digest = hashlib.sha256((body + json.dumps(values, sort_keys=True)).encode()).hexdigest()[:12]
        # Logical ids are whole JSON strings wherever they stand: as a key, in Ref, in DependsOn.
        text = text.replace(json.dumps(name), json.dumps(f"{name}{digest}"))
    if len(text.encode()) > MAX_BODY_BYTES:
        raise ValueError(f"The template has {len(text.encode())} bytes; CloudFormation takes {MAX_BODY_BYTES}")
    return text


def _snapshot(document: Mapping[str, Any]) -> str:
    """All that ends up in a deployment, as one text: APIs, gateway responses, the mappings and conditions they name."""
    kinds = {_REST_API, _GATEWAY_RESPONSE}
    resources = {name: item for name, item in document["Resources"].items() if item.get("Type") in kinds}
    text = json.dumps(resources, sort_keys=True)
    named = {
        name: item
        for part in ("Mappings", "Conditions")
        for name, item in document.get(part, {}).items()
        if json.dumps(name) in text
    }
    return text + json.dumps(named, sort_keys=True)


def _name_literally(document: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
    """Put the value of each name in the place of the function that gives it.

    Raises:
        ValueError: a name follows from more than parameters.
    """
    for logical_id, resource in document["Resources"].items():
        property_name = NAMED_BY.get(resource.get("Type", ""))
        properties = resource.get("Properties", {})
        if property_name in properties:
            name = known_value(document, parameters, properties[property_name])
            if not isinstance(name, str):
                raise ValueError(f"{logical_id}.{property_name} must follow from parameters alone; it is {name}")
            # Properties may be shared by an alias with those of another resource.
            resource["Properties"] = {**properties, property_name: name}


def _with_connectors(resources: dict[str, dict[str, Node]]) -> dict[str, dict[str, Node]]:
    folder = connectors_folder()
    included = {name: include_connectors(resource, folder) for name, resource in resources.items()}
    return {name: resource for name, resource in included.items() if isinstance(resource, dict)}
