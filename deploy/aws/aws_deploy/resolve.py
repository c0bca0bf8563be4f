"""What a template says once its parameters are known: conditions decided, parameters and mappings put in.

Only as much of CloudFormation as can be known beforehand: what another resource or stack gives stays as it is.
"""

import re
from collections.abc import Mapping
from typing import Any

_VARIABLE = re.compile(r"\$\{([^!}]+)\}")
_PSEUDO = {"AWS::Region": "us-east-1", "AWS::AccountId": "000000000000", "AWS::Partition": "aws"}
_GONE = object()


def resolve(document: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Resources that will be made, by logical id, with what is known put in.

    Raises:
        KeyError: the template names a parameter, condition or mapping that it does not have.
    """
    return _Template(document, parameters).resources()


def known_value(document: Mapping[str, Any], parameters: Mapping[str, str], node: Any) -> Any:
    """A value of the template with its parameters put in; region and account stay functions.

    Raises:
        KeyError: the template names a parameter, condition or mapping that it does not have.
    """
    return _Template(document, parameters, {}).value(node)


class _Template:
    def __init__(
        self, document: Mapping[str, Any], parameters: Mapping[str, str], pseudo: Mapping[str, str] = _PSEUDO
    ) -> None:
        self._document = document
        declared = document.get("Parameters", {})
        self._values = {
            **pseudo,
            **{name: str(parameters.get(name, given.get("Default", f"({name})"))) for name, given in declared.items()},
        }

    def resources(self) -> dict[str, Any]:
        made = {}
        for name, resource in self._document["Resources"].items():
            if "Condition" not in resource or self._decide({"Condition": resource["Condition"]}):
                made[name] = {
                    key: self.value(value) if key == "Properties" else value for key, value in resource.items()
                }
        return made

    def _decide(self, condition: Mapping[str, Any]) -> bool:
        [(kind, argument)] = condition.items()
        match kind:
            case "Condition":
                holds = self._decide(self._document["Conditions"][argument])
            case "Fn::Equals":
                one, other = (str(self.value(item)) for item in argument)
                holds = one == other
            case "Fn::Not":
                holds = not self._decide(argument[0])
            case "Fn::And":
                holds = all(self._decide(item) for item in argument)
            case "Fn::Or":
                holds = any(self._decide(item) for item in argument)
            case _:
                raise KeyError(kind)
        return holds

    def value(self, node: Any) -> Any:
        """One node; what only CloudFormation knows stays a function."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not _GONE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1 and (known := self._function(node)) is not None:
            return known
        values = {key: self.value(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not _GONE}

    def _function(self, node: dict[str, Any]) -> Any:
        """The value of an intrinsic function; None where it is none, or nobody knows it yet."""
        [(kind, argument)] = node.items()
        match kind:
            case "Ref":
                return _GONE if argument == "AWS::NoValue" else self._values.get(argument, node)
            case "Fn::If":
                return self.value(argument[1 if self._decide({"Condition": argument[0]}) else 2])
            case "Fn::FindInMap":
                name, first, second = (self.value(item) for item in argument)
                return self._document["Mappings"][name][first][second]
            case "Fn::Sub" if isinstance(argument, str):
                text = _VARIABLE.sub(lambda found: self._values.get(found[1], found[0]), argument)
                return {"Fn::Sub": text} if _VARIABLE.search(text) else text
        return None
