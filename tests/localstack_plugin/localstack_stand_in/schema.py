"""Checks properties against the official schema of their type."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import jsonschema


class InvalidPropertyError(ValueError):
    """CloudFormation would refuse these properties."""


class Schema:
    """The schema of one resource type, read from ``STAND_IN_SCHEMAS``."""

    def __init__(self, kind: str) -> None:
        folder = Path(os.environ["STAND_IN_SCHEMAS"])
        self.document: dict[str, Any] = json.loads((folder / f"{kind.replace('::', '-').lower()}.json").read_text())
        self._validator = jsonschema.Draft7Validator(self.document)

    def paths(self, what: str) -> list[str]:
        """Names below ``/properties`` in one of the lists of the schema, such as ``readOnlyProperties``."""
        return [path.removeprefix("/properties/") for path in self.document.get(what, [])]

    def checked(self, properties: dict[str, Any]) -> dict[str, Any]:
        """The properties with numbers and booleans as such.

        Raises:
            InvalidPropertyError: the schema does not allow them; names the place.
        """
        found: dict[str, Any] = self._typed(copy.deepcopy(properties), self.document)
        for path in self.paths("readOnlyProperties"):
            if "/" not in path and path in found:
                raise InvalidPropertyError(f"{path} is read-only")
        errors = sorted(self._validator.iter_errors(found), key=lambda error: list(map(str, error.absolute_path)))
        if errors:
            place = "/".join(map(str, errors[0].absolute_path)) or "properties"
            raise InvalidPropertyError(f"{place}: {errors[0].message[:300]}")
        return found

    def _typed(self, value: Any, rule: dict[str, Any]) -> Any:
        """CloudFormation takes ``"3"`` for 3 and ``"true"`` for true, and 3 for ``"3"``."""
        while "$ref" in rule:
            rule = self.document["definitions"][rule["$ref"].rpartition("/")[2]]
        if isinstance(value, dict):
            known = rule.get("properties", {})
            return {key: self._typed(item, known.get(key, {})) for key, item in value.items() if item is not None}
        if isinstance(value, list):
            return [self._typed(item, rule.get("items", {})) for item in value]
        match rule.get("type"):
            case "integer" if isinstance(value, str) and value.lstrip("-").isdigit():
                return int(value)
            case "number" if isinstance(value, str) and value.replace(".", "", 1).isdigit():
                return float(value)
            case "boolean" if value in {"true", "false"}:
                return value == "true"
            case "string" if isinstance(value, int | float) and not isinstance(value, bool):
                return str(value)
        return value
