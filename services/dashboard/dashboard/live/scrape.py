"""Looks at services over the network, bounded in time and size, whatever the other side does."""

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3

from dashboard.live.looks import CheckLine, Look, NoAnswerError
from dashboard.live.numbers import Taken, taken

READY_S: Final = 2.5
"""A check of ours answers within two seconds (``service_kit.ops``)."""
METRICS_S: Final = 1.0
READY_BYTES: Final = 64 * 1024
METRICS_BYTES: Final = 1024 * 1024
_AGAIN_S: Final = 0.1
"""A connection that is still being made at the deadline is looked at so often until it can be ended."""
_CHECKS: Final = 50
_WORDS: Final = 300
_AIRFLOW_PARTS: Final = ("metadatabase", "scheduler", "dag_processor")
# ApiVersions (key 18) in version 0, correlation id 1, no client id: https://kafka.apache.org/protocol
_API_VERSIONS: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)


@dataclass(frozen=True)
class Service:
    """One of ours: ``/readyz``, and of ``/metrics`` what is wanted."""

    url: str
    wanted: Mapping[str, Taken]

    def look(self) -> Look:
        """As ``looks.Source``. Numbers that cannot be read make no service less ready."""
        status, body = ask(f"{self.url}/readyz", READY_S, READY_BYTES)
        if status not in {200, 503}:
            raise NoAnswerError(f"its /readyz answers {status}")
        return _with_numbers(_checks(body), f"{self.url}/metrics", self.wanted)


@dataclass(frozen=True)
class LocalStack:
    """LocalStack: each of its services is a check. Our door before it counts the records of streams."""

    url: str
    wanted: Mapping[str, Taken]

    def look(self) -> Look:
        """As ``looks.Source``."""
        document = _document(f"{self.url}/_localstack/health")
        services = document.get("services")
        if not isinstance(services, dict):
            raise NoAnswerError("its health page names no services")
        parts = sorted((str(name), str(state)) for name, state in services.items())[:_CHECKS]
        checks = tuple(CheckLine(_cut(n), s in {"available", "running"}, _cut(s)) for n, s in parts)
        return _with_numbers(checks, f"{self.url}/_pipeline/metrics", self.wanted)


@dataclass(frozen=True)
class Airflow:
    """Airflow: those of its parts that we run. It answers 200 while one of them does not work."""

    url: str

    def look(self) -> Look:
        """As ``looks.Source``."""
        document = _document(f"{self.url}/api/v2/monitor/health")
        checks = []
        for part in _AIRFLOW_PARTS:
            told = document.get(part)
            state = told.get("status") if isinstance(told, dict) else None
            checks.append(CheckLine(part, state == "healthy", _cut(str(state or "no status"))))
        return Look(tuple(checks))


@dataclass(frozen=True)
class Kafka:
    """A broker that answers ``ApiVersions``. One that hangs still takes connections: the kernel does."""

    host: str
    port: int

    def look(self) -> Look:
        """As ``looks.Source``."""
        try:
            with socket.create_connection((self.host, self.port), timeout=READY_S) as connection:
                connection.sendall(_API_VERSIONS)
                answered = connection.recv(4)
        except TimeoutError as error:
            raise NoAnswerError(f"no answer within {READY_S} s") from error
        except OSError as error:
            raise _unreachable(f"{self.host}:{self.port}", error) from error
        if not answered:
            raise NoAnswerError("it closes connections without an answer")
        return Look((CheckLine("broker", ok=True, detail="answers"),))


def _with_numbers(checks: tuple[CheckLine, ...], url: str, wanted: Mapping[str, Taken]) -> Look:
    path = urlsplit(url).path
    try:
        status, body = ask(url, METRICS_S, METRICS_BYTES)
        if status != 200:
            raise NoAnswerError(f"its {path} answers {status}")
        return Look(checks, taken(body.decode(), wanted))
    except NoAnswerError as error:
        return Look(checks, why=str(error))
    except ValueError:
        return Look(checks, why=f"its {path} is not Prometheus text")


def ask(url: str, within_s: float, most: int) -> tuple[int, bytes]:
    """Status and body of one GET; no redirect is followed. Blocks for twice ``within_s`` at most.

    Raises:
        NoAnswerError: no answer in time, or one of more than ``most`` bytes.
    """
    end = time.monotonic() + within_s
    late = NoAnswerError(f"no answer within {within_s} s")
    headers = {"Connection": "close", "Accept-Encoding": "identity"}
    with urllib3.PoolManager(retries=False) as pool:
        try:
            # A timeout counts from byte to byte: headers that drip would take for ever.
            with _cut_off(pool.connection_from_url(url), within_s):
                response = pool.request(
                    "GET", url, timeout=within_s, redirect=False, preload_content=False, headers=headers
                )
            if time.monotonic() > end:  # headers that were cut off read like whole ones
                raise late
            body = b""
            while chunk := response.read1(64 * 1024):
                body += chunk
                if len(body) > most:
                    raise NoAnswerError(f"{urlsplit(url).path} is longer than {most:,} bytes")
                if time.monotonic() > end:
                    raise late
            return response.status, body
        except urllib3.exceptions.NewConnectionError as error:  # of urllib3's timeouts, though it is none
            raise _unreachable(urlsplit(url).netloc, error) from error
        except urllib3.exceptions.TimeoutError as error:
            raise late from error
        except urllib3.exceptions.HTTPError as error:
            if time.monotonic() > end:
                raise late from error
            raise _unreachable(urlsplit(url).netloc, error) from error


@contextmanager
def _cut_off(pool: urllib3.HTTPConnectionPool, after_s: float) -> Iterator[None]:
    """Ends the connections that are made in ``pool`` inside, once they have lasted ``after_s``."""
    made: list[Any] = []
    make = pool.ConnectionCls

    def connection(*args: Any, **settings: Any) -> Any:
        made.append(make(*args, **settings))
        return made[-1]

    done = threading.Event()

    def watch() -> None:
        pause_s = after_s
        while not done.wait(pause_s):
            for one in made:
                if one.sock is not None:
                    with suppress(OSError):  # it has ended by itself
                        one.sock.shutdown(socket.SHUT_RDWR)
            pause_s = _AGAIN_S

    pool.ConnectionCls = connection  # type: ignore[assignment]
    watching = threading.Thread(target=watch, name="deadline", daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def _unreachable(where: str, error: Exception) -> NoAnswerError:
    if isinstance(error, urllib3.exceptions.NameResolutionError | socket.gaierror):
        return NoAnswerError(f"there is no host {where}", gone=True)
    if isinstance(error, urllib3.exceptions.NewConnectionError | ConnectionRefusedError):
        return NoAnswerError(f"nothing answers at {where}", gone=True)
    return NoAnswerError(f"{where} broke the connection off")


def _document(url: str) -> dict[str, Any]:
    status, body = ask(url, READY_S, READY_BYTES)
    if status != 200:
        raise NoAnswerError(f"its health page answers {status}")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NoAnswerError("its health page is not JSON") from error
    if not isinstance(document, dict):
        raise NoAnswerError("its health page is not a JSON object")
    return document


def _checks(body: bytes) -> tuple[CheckLine, ...]:
    checks = []
    for line in body.splitlines()[:_CHECKS]:
        try:
            told = json.loads(line)
            checks.append(CheckLine(_cut(str(told["check"])), told["ok"] is True, _cut(str(told.get("detail", "")))))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise NoAnswerError("its /readyz has a line that is not a check") from error
    return tuple(checks)


def _cut(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    return text if len(text) <= _WORDS else text[: _WORDS - 1] + "…"
