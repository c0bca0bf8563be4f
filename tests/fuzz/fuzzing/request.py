"""HTTP requests byte by byte, as clients send them and as nobody's library does, and the answers to them."""

import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPException, HTTPMessage, HTTPResponse
from urllib.parse import quote, urlsplit

from fuzzing import odd

ANSWER_S = 60.0
"""How long an answer may take on a machine that is busy."""
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "FOO", "get")
HEADERS = (
    ("Host", "evil.example"), ("Host", "localhost:1"), ("Host", ""), ("Host", "[::1"),
    ("Origin", "http://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site"),
    ("Accept", "text/html;q=0.1, */*;q=x"),
    ("Accept", "nonsense"),
    ("Accept", "application/vnd.kafka.v2+json;q=0"), ("Content-Type", "text/plain"), ("Content-Type", "\xff"),
    ("Content-Type", "application/json; charset=utf-16"), ("Content-Type", "multipart/form-data; boundary=x"),
    ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Type", "application/vnd.kafka.avro.v2+json"),
    ("Content-Type", "application/vnd.kafka.binary.v2+json"), ("Content-Encoding", "gzip"),
    ("Content-Encoding", "br, x"),
    ("Expect", "100-continue"), ("Expect", "something"), ("Upgrade", "websocket"), ("Range", "bytes=9-1"),
    ("If-None-Match", "*"), ("If-Modified-Since", "never"), ("X-HTTP-Method-Override", "DELETE"),
    ("Cookie", "a=b; a"),
    ("Authorization", "Bearer nonsense"), ("Authorization", "Basic !!!"),
    ("Authorization", "AWS4-HMAC-SHA256 Credential=x"),
    ("X-Amz-Target", "Kinesis_20131202.DeleteStream"), ("x-localstack-data", "{"), ("x-api-key", "nonsense"),
    ("Forwarded", "host=evil.example"), ("X-Forwarded-Host", "evil.example"), ("Connection", "upgrade"),
    ("X-Long", "a" * 9_000),
)  # fmt: skip
BROKEN_HEADERS = (
    ("Content-Length", "-1"), ("Content-Length", "10"), ("Content-Length", "99999999999999999999"), ("No Name", "x"),
    ("Content-Length", "1_0"), ("Transfer-Encoding", "gzip"), ("Transfer-Encoding", "chunked, chunked"),
    ("X-Y", "a\0b"),
    ("X-Y", "a\r\n b"), ("", "x"), *((f"h{number}", "x") for number in range(2)),
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One request. ``chunks``: the body is sent in so many, without its length; 0: in one, with it.

    ``formed``: it keeps to HTTP, so that an answer can be expected. ``target`` is as it stands in the first line.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunks: int = 0
    formed: bool = True
    version: str = "HTTP/1.1"

    def encoded(self, host: str) -> bytes:
        """All of it. A host among its headers stands in the place of the one given."""
        named = {name.lower() for name, _ in self.headers}
        own = [] if "host" in named else [("Host", host)]
        own += [] if "connection" in named else [("Connection", "close")]
        if self.chunks:
            own.append(("Transfer-Encoding", "chunked"))
        elif "content-length" not in named and (self.body or self.method in {"POST", "PUT", "PATCH"}):
            own.append(("Content-Length", str(len(self.body))))
        lines = [
            f"{self.method} {self.target} {self.version}",
            *(f"{name}: {it}" for name, it in (*own, *self.headers)),
        ]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self._framed()

    def _framed(self) -> bytes:
        if not self.chunks:
            return self.body
        size = max(1, -(-len(self.body) // self.chunks))
        parts = [self.body[at : at + size] for at in range(0, len(self.body), size)]
        return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"

    def smaller(self) -> "Iterator[Request]":
        """The request with less in it."""
        if self.body:
            for less in (b"", self.body[: len(self.body) // 2], self.body[len(self.body) // 2 :], self.body[:-1]):
                yield replace(self, body=less)
        if self.chunks:
            yield replace(self, chunks=0)
        for at in range(len(self.headers)):
            yield replace(self, headers=(*self.headers[:at], *self.headers[at + 1 :]))
        path, _, query = self.target.partition("?")
        if query:
            yield replace(self, target=path)


@dataclass(frozen=True)
class Answer:
    """What came back; a status of 0: the connection was closed, or what came is no answer, and why."""

    status: int
    headers: HTTPMessage = field(default_factory=HTTPMessage)
    body: bytes = b""
    why: str = ""


def exchange(url: str, request: Request) -> Answer:
    """Send one request over a connection of its own, and read the answer to its end. Blocks for two minutes at most."""
    place = urlsplit(url)
    assert place.hostname is not None
    assert place.port is not None
    with socket.create_connection((place.hostname, place.port), ANSWER_S) as peer:
        lost = ""
        try:
            peer.sendall(request.encoded(place.netloc))
            if not request.formed:
                peer.shutdown(socket.SHUT_WR)
        except OSError as error:
            lost = f"{error} while it was sent; "  # an early answer may be there all the same
        answer = HTTPResponse(peer, method=request.method)
        try:
            answer.begin()
            return Answer(answer.status, answer.msg, answer.read())
        except (OSError, HTTPException, ValueError) as error:
            return Answer(0, why=f"{lost}{type(error).__name__}: {error}")
        finally:
            answer.close()


def mutated(chance: random.Random, request: Request) -> Request:
    """The request with up to three changes."""
    for _ in range(chance.randrange(4)):
        request = chance.choice(_CHANGES)(chance, request)
    return request


def _method(chance: random.Random, request: Request) -> Request:
    return replace(request, method=chance.choice(METHODS))


def _segment(chance: random.Random, request: Request) -> Request:
    """One part of the path; the base of an API stays, so that the request reaches it."""
    path, mark, query = request.target.partition("?")
    parts = path.split("/")
    at = chance.randrange(max(1, len(parts) - 3), len(parts)) if len(parts) > 1 else 0
    parts[at] = chance.choice(
        (quote(odd.text(chance), safe="", errors="replace"), "%ff", "..", "", "%2e%2e", "x" * 3_000, f"{parts[at]}/")
    )
    return replace(request, target="/".join(parts) + mark + query)


def _query(chance: random.Random, request: Request) -> Request:
    path, _, query = request.target.partition("?")
    pieces = [piece for piece in query.split("&") if piece]
    name = chance.choice(
        (*(piece.partition("=")[0] for piece in pieces), "x", quote(odd.text(chance)[:50], errors="replace"))
    )
    odd_value = chance.choice((quote(odd.text(chance), safe="", errors="replace"), str(odd.number(chance)), "%ff", "%"))
    pieces = pieces if chance.random() < 0.4 else [piece for piece in pieces if piece.partition("=")[0] != name]
    return replace(request, target=f"{path}?{'&'.join([*pieces, f'{name}={odd_value}'])}")


def _header(chance: random.Random, request: Request) -> Request:
    headers = list(request.headers)
    extra = chance.choice(HEADERS)
    match chance.randrange(4):
        case 0 if headers:
            headers.pop(chance.randrange(len(headers)))
        case 1:
            headers.append(extra)
        case _:
            headers = [header for header in headers if header[0].lower() != extra[0].lower()] + [extra]
    return replace(request, headers=tuple(headers))


def _broken(chance: random.Random, request: Request) -> Request:
    match chance.randrange(6):
        case 0:
            return replace(request, target=request.target + chance.choice((" x", "\x7f", "é", "\0")), formed=False)
        case 1:
            return replace(
                request, version=chance.choice(("HTTP/0.9", "HTTP/2.0", "HTTP/1.9", "FTP", "")), formed=False
            )
        case 2:
            return replace(request, method=chance.choice(("", "GE T", "G\0", "X" * 2_000)), formed=False)
        case _:
            return replace(request, headers=(*request.headers, chance.choice(BROKEN_HEADERS)), formed=False)


def _body(chance: random.Random, request: Request) -> Request:
    return replace(request, body=odd.spoiled(chance, request.body))


def _chunks(chance: random.Random, request: Request) -> Request:
    return replace(request, chunks=chance.choice((1, 2, 30)))


def _huge(chance: random.Random, request: Request) -> Request:
    if chance.random() < 0.9 or request.method not in {"POST", "PUT"}:
        return _chunks(chance, request)
    return replace(request, body=request.body + b" " * (11 << 20))


_CHANGES: tuple[Callable[[random.Random, Request], Request], ...] = (
    _method, _segment, _segment, _query, _query, _header, _header, _header, _broken, _body, _body, _chunks, _huge,
)  # fmt: skip
