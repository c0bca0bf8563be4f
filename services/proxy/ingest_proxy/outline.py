"""Looks at the outline of a produce request before it is decoded: how many records, and no field twice.

The decoder makes an object for each record before anybody can count them, and of two fields of one name it keeps the
last. Both are told here from the bytes alone, with little more memory than the body itself. Grammar: RFC 8259.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

# Possessive, so that no text makes it go back: each byte is looked at once. A quote alone begins an unfinished string.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}]', re.DOTALL)
_NOT_OUTLINE: Final = bytes(byte for byte in range(256) if byte not in b'{}"')
_OPENING: Final = ord("{")
_QUOTE: Final = ord('"')
_NAME_ENDS: Final = re.compile(rb"[ \t\r\n]*+:")
# Escapes of letters and "_", which no encoder writes unasked.
_LETTER_ESCAPES: Final = (b"\\u005", b"\\u006", b"\\u007")
_RECORD_DEPTH: Final = 1
"""Braces that are open where a record begins: the request's own."""
_decode_text = msgspec.json.Decoder(str).decode


def has_more_records(body: bytes, limit: int) -> bool:
    """Whether more than ``limit`` objects stand in the array of a request. Right for JSON; any answer for else."""
    if body.count(b"{") <= limit:
        return False
    # Quotes and braces alone, without escaped quotes and without strings that hold no brace. Two strings with nothing
    # but such strings between them become one. Brackets do not matter: only the request's own array holds objects here.
    outline = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_OUTLINE).replace(b'""', b"")
    found = depth = 0
    in_string = False
    for byte in outline:
        if byte == _QUOTE:
            in_string = not in_string
        elif in_string:
            continue
        elif byte == _OPENING:
            found += depth == _RECORD_DEPTH
            depth += 1
            if found > limit:
                return True
        else:
            depth -= 1
    return False


def repeated_field(body: bytes) -> str | None:
    """A field that the request itself has twice; None where it has none. Fields of records are not looked at."""
    if body.count(b'"records"') <= 1 and not any(escape in body for escape in _LETTER_ESCAPES):
        return None
    seen: set[str] = set()
    for depth, token, end in _outline(body):
        if depth == 1 and token.startswith(b'"') and _NAME_ENDS.match(body, end):
            name = _text(token)
            if name in seen:
                return name
            seen.add(name)
    return None


def _outline(body: bytes) -> Iterator[tuple[int, bytes, int]]:
    """In how many objects each string and brace stands, the token, and where it ends."""
    depth = 0
    for found in _TOKEN.finditer(body):
        token = found[0]
        if token == b"}":
            depth -= 1
        yield depth, token, found.end()
        if token == b"{":
            depth += 1
        if token == b'"':
            return


def _text(token: bytes) -> str:
    try:
        return _decode_text(token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return token.decode(errors="replace")
