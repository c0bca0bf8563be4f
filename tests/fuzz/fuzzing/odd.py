"""Values, texts and bytes that programs get wrong, and changes to good ones."""

import gzip
import json
import random
import zlib
from typing import Any

from pipeline_contracts.names import KINDS, Kind
from raw_objects import post

FIRST_IND = 900_000_000
"""Posts of the fuzzer are numbered from here, so that none replaces one of the friendly sender's."""

TEXTS = (
    "", " ", "\0", "\x1b[31m", "\u202e", "\ufeff", "\ud83d", "\ude00", "\u2028", "'", '"', "\\", "\\'", "$x", "#end",
    "${jndi:x}", "../..", "%ff", "%00", "=1+1", "null", "NaN", "-0", "1e999", "0x1", "1_0", "٣", "true", "<script>",
    "a" * 300, "é" * 5_000, "2020-08-28T03:52:47", "9999-99-99 99:99:99", "User Info Error", "12k", "1e5M",
)  # fmt: skip
NUMBERS = (0, -0.0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 1.5, 1e308, 1e-320)
JUNK = (
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"{", b"{}", b"[]", b"null", b'""', b'{"a":1}{"b":2}', b"[" * 3_000,
    b'{"a":' * 2_000, b"9" * 6_000, b'{"x":"\\ud83d"}', b'{"x":1,"x":2}', b'{"ind":1e400}', b"\x1f\x8b\x08",
    b"\n" * 200, b"\xf3\x89\x9a\xc2", b"\x00\x00\x00\x00\x01Avro", b"PAR1", b"\xed\xa0\x80", b'{"x":NaN}',
)  # fmt: skip


def number(chance: random.Random) -> int | float:
    """A number, odd ones often."""
    return chance.choice((chance.choice(NUMBERS), chance.randrange(-5, 200), chance.randrange(-(10**12), 10**8)))


def text(chance: random.Random) -> str:
    """A text, odd ones often, with halves of surrogate pairs."""
    if chance.random() < 0.6:
        return chance.choice(TEXTS)
    return "".join(
        chr(chance.choice((chance.randrange(128), chance.randrange(0x2_000)))) for _ in range(chance.randrange(12))
    )


def value(chance: random.Random, depth: int = 3) -> Any:
    """Any JSON value."""
    kind = chance.randrange(7 if depth else 5)
    if kind >= 5:
        some = range(chance.randrange(4))
        inside = [value(chance, depth - 1) for _ in some]
        return inside if kind == 5 else {text(chance): one for one in inside}
    return (None, chance.random() < 0.5, number(chance), text(chance), text(chance))[kind]


def row(chance: random.Random) -> tuple[Kind, dict[str, Any]]:
    """A good row of the fuzzer's own posts."""
    kind = chance.choice(KINDS)
    return kind, post(FIRST_IND + chance.randrange(10_000))[kind]


def changed(chance: random.Random, document: Any) -> Any:
    """The document with one place changed, left out, doubled under another name, or put deeper."""
    if isinstance(document, dict) and document and chance.random() < 0.9:
        name = chance.choice(sorted(document))
        less = {one: inside for one, inside in document.items() if one != name}
        match chance.randrange(5):
            case 0:
                return less
            case 1:
                return document | {text(chance): value(chance)}
            case 2:
                return less | {chance.choice((name.upper(), f"{name} ", f"{name}s", name.capitalize())): document[name]}
            case _:
                return document | {name: changed(chance, document[name])}
    if isinstance(document, list) and document and chance.random() < 0.9:
        at = chance.randrange(len(document))
        match chance.randrange(4):
            case 0:
                return document[:at] + document[at + 1 :]
            case 1:
                return document * chance.choice((2, 40))
            case _:
                return [*document[:at], changed(chance, document[at]), *document[at + 1 :]]
    return chance.choice((value(chance), [document], str(document), {"value": document}))


def bytes_of(document: Any) -> bytes:
    """JSON, half surrogates as they are written in it."""
    return json.dumps(document).encode()


def spoiled(chance: random.Random, data: bytes) -> bytes:
    """The bytes with a few changes anywhere: cut, doubled, turned, put in, encoded otherwise, packed."""
    for _ in range(chance.randrange(1, 3)):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.choice((1, 2, 20, 5_000)))
        match chance.randrange(8):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:to] + data[at:]
            case 3:
                data = data[:at] + bytes(chance.randrange(256) for _ in range(chance.randrange(9))) + data[to:]
            case 4:
                data = data[:at] + chance.choice(JUNK) + data[at:]
            case 5:
                data = data.decode("utf-8", "replace").encode(
                    chance.choice(("utf-16", "utf-16-le", "utf-8-sig", "utf-7"))
                )
            case 6:
                data = chance.choice((gzip.compress, zlib.compress))(data)
            case _:
                data = chance.choice(JUNK)
    return data


def payload(chance: random.Random, kind: Kind | None = None) -> bytes:
    """A record's bytes: good rows, rows with a change, any JSON, junk, big ones."""
    found, good = row(chance)
    if kind is not None and found != kind and chance.random() < 0.8:
        good = post(FIRST_IND + chance.randrange(10_000))[kind]
    match chance.randrange(10):
        case 0 | 1 | 2:
            return bytes_of(good)
        case 3 | 4 | 5:
            return bytes_of(changed(chance, good))
        case 6:
            return bytes_of(value(chance))
        case 7:
            return chance.choice(JUNK)
        case 8:
            return bytes_of(good | {"title": "x" * chance.choice((100, 70_000, 400_000))})
        case _:
            return spoiled(chance, bytes_of(good))
