import http.client
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from service_kit.hosts import for_hosts
from service_kit.ops import Ops, OpsServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def inner(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"inner"]


def asked(allowed: str, host: str | None) -> tuple[str, bytes]:
    said: list[str] = []

    def start(status: str, headers: object, exc_info: object = None) -> object:
        said.append(status)
        return lambda _: None

    environ = {} if host is None else {"HTTP_HOST": host}
    body = for_hosts(allowed, inner)(environ, start)  # type: ignore[arg-type]
    return said[0], b"".join(body)


@pytest.mark.parametrize(
    "host",
    ["localhost:8082", "LOCALHOST", "proxy:8082", "proxy", "other", "127.0.0.1:8082", "10.1.2.3", "[::1]:8082", None],
)
def test_own_names_and_addresses_are_served(host: str | None) -> None:
    assert asked("proxy, Other", host) == ("200 OK", b"inner")


@pytest.mark.parametrize(
    "host",
    ["evil.example:8082", "proxy.evil.example", "localhost.evil.example", "xproxy", "[::1", "127.0.0.1.evil.example"],
)
def test_a_foreign_name_is_refused(host: str) -> None:
    status, body = asked("proxy", host)
    assert status == "421 Misdirected Request"
    assert json.loads(body) == {
        "error_code": 421,
        "message": f"No service is called {host} here; ALLOWED_HOSTS is proxy",
    }


@pytest.mark.parametrize("allowed", ["", " , "])
def test_without_names_every_name_is_served(allowed: str) -> None:
    assert for_hosts(allowed, inner) is inner


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("sink:8091", 200), ("localhost:8091", 200)])
def test_the_operational_routes_are_refused_too(host: str, status: int) -> None:
    with OpsServer(Ops("sink", {}, CollectorRegistry()), "127.0.0.1", 0, "sink") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("GET", "/metrics", headers={"Host": host})
        assert connection.getresponse().status == status
