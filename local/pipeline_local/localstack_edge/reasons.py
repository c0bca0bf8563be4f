"""Why a body does not fit a model, in words that name the field and leave its content out."""

from typing import Any

import jsonschema

_SHOWN = 5
_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_LIMITS = {
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "pattern": "must match {}",
}


def reasons(value: Any, schema: dict[str, Any]) -> list[str]:
    """Why a value does not fit a model, each with the field's path and none with the field's content; [] if it does."""
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft4Validator)
    errors = kind(schema).iter_errors(value)
    found = [f"{error.json_path}: {_reason(error)}" for error, _ in zip(errors, range(_SHOWN + 1), strict=False)]
    return found[:_SHOWN] + (["and more"] if len(found) > _SHOWN else [])


def _reason(error: Any) -> str:
    limit = error.validator_value
    if error.validator == "required":
        return f"must have {', '.join(name for name in limit if name not in error.instance)}"
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        extra = [name if len(name) <= 64 else f"{name[:64]}…" for name in error.instance if name not in known]
        return f"has no field {', '.join(extra[:_SHOWN])}; its fields are {', '.join(known)}"
    if error.validator == "type":
        return f"must be {limit}, not {_TYPES.get(type(error.instance), 'null')}"
    return _LIMITS.get(error.validator, f"does not meet {error.validator} {{}}").format(limit)
