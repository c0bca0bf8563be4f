"""Policies as people and programs write them: text options, checked."""

from collections.abc import Mapping
from typing import Final

import msgspec
from pipeline_transforms.answers import Policies

OPTIONS: Final = {"ties": "ties", "median": "median", "users": "users", "from": "from_year", "to": "to_year"}
"""The name outside (command line, job parameter) and the field it sets."""

_decode_policies = msgspec.json.Decoder(Policies, strict=False).decode


class PolicyError(ValueError):
    """An unknown policy or value; the message says which and what is allowed."""


def parse_policies(options: Mapping[str, str | int | None]) -> Policies:
    """Options that are absent, None or empty keep their default.

    Raises:
        PolicyError: an option or its value does not exist.
    """
    unknown = sorted(options.keys() - OPTIONS.keys())
    if unknown:
        msg = f"unknown policy {', '.join(unknown)}; there are {', '.join(OPTIONS)}"
        raise PolicyError(msg)
    fields = {OPTIONS[name]: value for name, value in options.items() if value not in {None, ""}}
    try:
        return _decode_policies(msgspec.json.encode(fields))
    except msgspec.ValidationError as error:
        msg = f"bad policy: {error}"
        raise PolicyError(msg) from error


def described(policies: Policies) -> dict[str, str]:
    """Every policy as text, under its name outside; unlimited years are left out."""
    values = {name: getattr(policies, field) for name, field in OPTIONS.items()}
    return {name: str(value) for name, value in values.items() if value is not None}
