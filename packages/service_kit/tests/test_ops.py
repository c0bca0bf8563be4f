import http.client
import json

import pytest
from prometheus_client import CollectorRegistry, Counter
from service_kit.ops import NotReadyError, Ops, OpsServer


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_routes_over_http() -> None:
    registry = CollectorRegistry()
    Counter("records", "how many", registry=registry).inc(3)
    broken = [True]

    def kafka() -> str:
        if broken[0]:
            raise NotReadyError("no broker at kafka:9092")
        return "1 broker"

    with OpsServer(Ops("sink", {"disk": lambda: "free", "kafka": kafka}, registry), "127.0.0.1", 0) as server:
        assert get(server.port, "/livez")[0] == 200
        status, body = get(server.port, "/readyz")
        assert status == 503
        assert [json.loads(line) for line in body.splitlines()] == [
            {"check": "disk", "ok": True, "detail": "free"},
            {"check": "kafka", "ok": False, "detail": "no broker at kafka:9092"},
        ]
        broken[0] = False
        assert get(server.port, "/readyz")[0] == 200
        assert json.loads(get(server.port, "/version")[1])["service"] == "sink"
        assert b"records_total 3.0" in get(server.port, "/metrics")[1]
        assert get(server.port, "/nope")[0] == 404
        assert get(server.port, "/livez", "POST")[0] == 405


def test_ops_in_front_of_an_application() -> None:
    def inner(environ: object, start_response: object) -> list[bytes]:
        return [b"inner"]

    app = Ops("proxy", {}, CollectorRegistry()).in_front_of(inner)
    statuses: list[str] = []

    def start(status: str, headers: object, exc_info: object = None) -> object:
        statuses.append(status)
        return lambda _: None

    assert app({"PATH_INFO": "/topics", "REQUEST_METHOD": "GET"}, start) == [b"inner"]  # type: ignore[arg-type]
    app({"PATH_INFO": "/livez", "REQUEST_METHOD": "GET"}, start)  # type: ignore[arg-type]
    assert statuses == ["200 OK"]


def test_a_wrong_verb_is_told_the_right_ones() -> None:
    seen: dict[str, object] = {}

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> object:
        seen.update(status=status, **dict(headers))
        return lambda _: None

    Ops("proxy", {}, CollectorRegistry())({"PATH_INFO": "/livez", "REQUEST_METHOD": "PUT"}, start)  # type: ignore[arg-type]
    assert (seen["status"], seen["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")


def test_a_taken_address_is_told_before_anything_runs() -> None:
    with OpsServer(Ops("sink", {}, CollectorRegistry()), "127.0.0.1", 0) as server, pytest.raises(OSError):
        OpsServer(Ops("sink", {}, CollectorRegistry()), "127.0.0.1", server.port)
