"""A request's body and media type, read once and strictly: what passes here, every JSON reader reads alike.

LocalStack's validator and its mapping templates decode a body by two rules of their own, and take what is not JSON.
"""

import codecs
import json
import math
import re
from typing import Any

MAX_BYTES = 10 * 1024 * 1024
"""Payload of a REST API on AWS: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""
MAX_DEPTH = 100
"""Far below what LocalStack's template engine nests, which fails beyond it."""
MAX_DIGITS = 4300

_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 (RFC 9110's word for it)
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*(?:({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?')
_TYPE = re.compile(rf"[ \t]*({_TOKEN})/({_TOKEN})")


class BodyError(ValueError):
    """The body is not what the API takes; the message says where and what it must be."""


def is_json_type(content_type: str) -> bool:
    """Whether a Content-Type is ``application/json`` in UTF-8, compared as RFC 9110 (section 8.3) says."""
    kind = _TYPE.match(content_type)
    if kind is None or (kind[1].lower(), kind[2].lower()) != ("application", "json"):
        return False
    rest = content_type[kind.end() :].rstrip(" \t")
    while rest:
        parameter = _PARAMETER.match(rest)
        if parameter is None:
            return False
        name, plain, quoted = parameter.groups()
        value = plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted or "")
        if name is not None and name.lower() == "charset" and value.lower() not in {"utf-8", "utf8"}:
            return False
        rest = rest[parameter.end() :]
    return True


def read(body: bytes) -> Any:
    """The JSON value of a body; an empty body is an empty object, as on AWS.

    Raises:
        BodyError: it is too large, not UTF-8, not JSON (RFC 8259), or holds what readers do not read alike: a byte
            order mark, half a surrogate pair, a number outside a double's range or of too many digits, deep nesting.
    """
    if not body:
        return {}
    if body.startswith(_BOMS):
        raise BodyError("begins with a byte order mark; send UTF-8 without one")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BodyError(f"not UTF-8 at byte {error.start}") from error
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_float, parse_int=_int)
    except json.JSONDecodeError as error:
        raise BodyError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise BodyError(f"nested more than {MAX_DEPTH} levels deep") from error
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_deep(value):
        raise BodyError(f"nested more than {MAX_DEPTH} levels deep")
    if _ESCAPED_SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise BodyError("not JSON: half of a surrogate pair") from error
    return value


def _no_constant(text: str) -> Any:
    raise BodyError(f"not JSON: {text}")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BodyError("a number is outside a double's range")
    return number


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise BodyError(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
