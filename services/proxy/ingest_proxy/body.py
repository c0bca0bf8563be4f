"""The body of a request, never more of it than the limit."""

import time
from typing import TYPE_CHECKING, Final

from ingest_proxy.errors import BadRequestError, TooLargeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_PIECE_BYTES: Final = 65_536
_DISCARDED_BYTES: Final = 256 * 1024 * 1024
_PIECE_S: Final = 2.0


def read_body(environ: "WSGIEnvironment", limit: int) -> bytes:
    """The whole body. Blocks while the sender sends it; ``stalls.py`` ends a stalled one. What is over the limit
    is never held.

    Raises:
        TooLargeError: it is longer than ``limit`` bytes, as announced or as it came.
        BadRequestError: the sender went away before its end.
        UnsupportedMediaTypeError: it is compressed.
    """
    encoding = environ.get("HTTP_CONTENT_ENCODING", "identity")
    # Codings have no case (RFC 9110, 8.4.1); a list of nothing but "identity" changes nothing.
    if {coding.strip().lower() for coding in encoding.split(",")} - {"identity", ""}:
        raise UnsupportedMediaTypeError(f"Content-Encoding {encoding[:64]} is not read here; send the body as it is")
    announced = environ.get("CONTENT_LENGTH") or ""
    length = int(announced) if announced.isdecimal() else None
    if length is not None and length > limit:
        _discard(environ)
        raise TooLargeError(f"The body has {length} bytes; at most {limit} are taken. Send fewer records at a time")
    body: bytes = environ["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        _discard(environ)
        raise TooLargeError(f"The body has more than {limit} bytes. Send fewer records at a time")
    if length is not None and len(body) < length:
        raise BadRequestError(f"The body ended after {len(body)} of {length} bytes")
    return body


def _discard(environ: "WSGIEnvironment") -> None:
    """Throw away what is still sent, so that the refusal can be read. Blocks like every read of a body.

    A connection closed while its sender is still sending is reset, and the answer is lost with it. Who sends less
    than a piece in ``_PIECE_S`` is not waited for any more, and a silent sender is cut (``stalls.py``) unanswered:
    granian stops as a whole when a request is answered while another thread still reads its body.
    """
    left = _DISCARDED_BYTES
    while left > 0:
        asked = time.monotonic()
        piece = environ["wsgi.input"].read(_PIECE_BYTES)
        if not piece or time.monotonic() - asked > _PIECE_S:
            return
        left -= len(piece)
