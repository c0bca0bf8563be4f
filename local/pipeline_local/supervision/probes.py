"""How each service's liveness and readiness are checked."""

import http.client
import json
import socket
import struct
from collections.abc import Callable

from service_kit import probe as probes

from pipeline_local import airflow_health
from pipeline_local.supervision.last_words import shown
from pipeline_local.supervision.lifecycle import Health
from pipeline_local.topology import LOOPBACK, Service

TIMEOUT_S = 5
SILENT = Health(live=False, ready=False, said="it does not answer")
READY = Health(live=True, ready=True)

# ApiVersions (key 18) in version 0, correlation id 1, no client id: https://kafka.apache.org/protocol#The_Messages_ApiVersions
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def probe(service: Service) -> Callable[[], Health]:
    """A function that checks the service's health; it blocks for about 10 s at most."""
    port = service.port
    if port is None:
        raise ValueError(f"{service.name} publishes no port")
    match service.name:
        case "kafka":
            return lambda: _kafka(port)
        case "airflow":
            return lambda: _airflow(port)
        case "localstack":
            return lambda: _asked(port, "/_localstack/health", "/_localstack/health")
        case _:
            return lambda: _asked(port, "/readyz", "/livez")


def _kafka(port: int) -> Health:
    # A broker that hangs still takes connections: the kernel does.
    try:
        with socket.create_connection((LOOPBACK, port), timeout=TIMEOUT_S) as connection:
            connection.sendall(_API_VERSIONS)
            answer = connection.recv(8)
    except OSError:
        return SILENT
    return READY if answer else SILENT


def _airflow(port: int) -> Health:
    answer = _answer(port, airflow_health.PATH)
    if answer is None:
        return SILENT
    status, body = answer
    try:
        healthy = status == 200 and airflow_health.is_healthy(body)
    except (ValueError, AttributeError):
        return Health(live=True, ready=False, said="what answers on its port is not Airflow")
    return READY if healthy else Health(live=True, ready=False, said=shown(body.decode(errors="replace")))


def _asked(port: int, ready_path: str, live_path: str) -> Health:
    answer = _answer(port, ready_path)
    if answer is not None:
        status, body = answer
        return READY if status == 200 else Health(live=True, ready=False, said=unmet(body))
    # A check of readiness may take its time; that the process answers at all is another question.
    alive = ready_path != live_path and _answer(port, live_path) is not None
    return Health(live=True, ready=False, said="it does not say whether it is ready") if alive else SILENT


def unmet(body: bytes) -> str | None:
    """The checks of ``/readyz`` that fail, as ``check: why``."""
    said = []
    for line in body.splitlines():
        try:
            check = json.loads(line)
        except ValueError:
            continue
        if isinstance(check, dict) and check.get("ok") is False:
            said.append(f"{check.get('check')}: {check.get('detail')}")
    return shown("; ".join(said)) if said else None


def _answer(port: int, path: str) -> tuple[int, bytes] | None:
    try:
        return probes.ask(port, path, TIMEOUT_S)
    except (OSError, http.client.HTTPException):
        return None
