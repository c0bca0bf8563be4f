"""From the bytes of one object to its lines, in time that grows with them and in memory that does not.

Gzip or plain, told by the bytes and not by the name. A line that is too long to be a record, and what cannot be
unpacked, come as rejects.
"""

import hashlib
import re
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

GZIP_MAGIC: Final = b"\x1f\x8b"
BOM: Final = b"\xef\xbb\xbf"
MIB: Final = 1024 * 1024
LINE_BYTES: Final = 8 * MIB
"""A longer line is no record: Kafka takes 1 MiB by default, and a parsed line may take 30 times its own size."""
REJECT_BYTES: Final = 65_536
"""At most this much of what cannot be read is kept, beside its length and its hash."""

_PIECE_BYTES: Final = MIB
_PACKED_BYTES: Final = 64 * 1024
_ZEROS: Final = re.compile(rb"\0*")


class Reject(NamedTuple):
    """Bytes that are no record: the first ``REJECT_BYTES`` of them, the length and SHA-256 of all.

    ``row`` is the line's number from 0. ``offset`` is None where the line tells none, ``sha256`` where the bytes were
    not read.
    """

    row: int
    offset: int | None
    raw: bytes
    problem: str
    size: int
    sha256: str | None


class GzipError(Exception):
    """A gzip stream that ends early or is damaged. What came before it has been yielded."""


def reject(raw: bytes, problem: str, row: int = 0, offset: int | None = None) -> Reject:
    """A reject of these bytes."""
    return Reject(row, offset, raw[:REJECT_BYTES], problem, len(raw), hashlib.sha256(raw).hexdigest())


def pieces(body: bytes) -> Iterator[bytes]:
    """The plain bytes, at most a megabyte at a time. Zeros behind a gzip stream are padding.

    Raises:
        GzipError: after all that could be unpacked.
    """
    whole = memoryview(body)
    if not body.startswith(GZIP_MAGIC):
        for start in range(0, len(body), _PIECE_BYTES):
            yield bytes(whole[start : start + _PIECE_BYTES])
        return
    place = 0
    while place < len(body):
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        while not unpacker.eof:
            packed = whole[place : place + _PACKED_BYTES]
            try:
                piece = unpacker.decompress(packed, _PIECE_BYTES)
            except zlib.error as error:
                raise GzipError("the gzip stream is damaged") from error
            place += len(packed) - len(unpacker.unconsumed_tail) - len(unpacker.unused_data)
            if piece:
                yield piece
            elif not packed and not unpacker.eof:
                raise GzipError("the gzip stream ends early")
        padding = _ZEROS.match(body, place)
        place = len(body) if padding is None else padding.end()


def lines(body: bytes) -> Iterator[bytes | Reject]:
    """Lines without their ends and the byte order mark; one of over ``LINE_BYTES`` is a reject.

    A damaged gzip stream ends in a reject of its last, cut line; with that line before it where a closing brace
    proves that it is whole (a number or word may go on behind the cut).
    """
    line = _Line(BOM)
    try:
        for piece in pieces(body):
            first, *more = piece.split(b"\n")
            line.add(first)
            for following in more:
                yield line.take()
                line = _Line()
                line.add(following)
    except GzipError as error:
        rest = line.take()
        if isinstance(rest, bytes) and rest.rstrip().endswith(b"}"):
            yield rest
            rest = b""
        yield reject(rest, str(error)) if isinstance(rest, bytes) else rest._replace(problem=f"{rest.problem}; {error}")
        return
    if line.size:
        yield line.take()


class _Line:
    """A line that comes in pieces. Beyond ``LINE_BYTES`` its beginning, length and hash alone are kept."""

    def __init__(self, mark: bytes = b"") -> None:
        self.size = 0
        self._mark = mark
        self._parts: list[bytes] = []
        self._hash = hashlib.sha256()

    def add(self, part: bytes) -> None:
        if self.size <= LINE_BYTES < self.size + len(part):
            beginning = b"".join(self._parts)
            self._hash.update(beginning)
            self._parts = [(beginning + part)[:REJECT_BYTES]]
        elif self.size <= LINE_BYTES:
            self._parts.append(part)
        self.size += len(part)
        if self.size > LINE_BYTES:
            self._hash.update(part)

    def take(self) -> bytes | Reject:
        text = b"".join(self._parts)
        if self.size > LINE_BYTES:
            problem = f"the line is longer than {LINE_BYTES // MIB} MiB"
            return Reject(0, None, text, problem, self.size, self._hash.hexdigest())
        return text.removeprefix(self._mark)
