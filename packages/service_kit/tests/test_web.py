import socket
import threading
import urllib.request

import pytest
from flask import Flask, Response
from pydantic import SecretStr
from service_kit import web
from service_kit.web import answer_errors, bears, bound_server
from werkzeug.exceptions import HTTPException


@pytest.fixture
def app() -> Flask:
    made = Flask("example", static_folder=None)
    made.add_url_rule("/", "root", lambda: "yes" if bears(SecretStr("sécret")) else "no")
    made.add_url_rule("/broken", "broken", lambda: str(1 // 0))

    def answer(error: HTTPException) -> Response:
        return Response(f"own words: {error.code}", error.code)

    answer_errors(made, answer)
    return made


def test_it_listens_before_it_serves(app: Flask) -> None:
    server = bound_server("127.0.0.1", 0, app)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=5) as answer:
        assert answer.read() == b"no"
    server.shutdown()
    serving.join(5)


def test_a_client_that_goes_silent_holds_no_thread(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    server = bound_server("127.0.0.1", 0, app)
    assert web._QuietHandler.timeout == 30
    monkeypatch.setattr(web._QuietHandler, "timeout", 0.3)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert silent.recv(1) == b""
    server.shutdown()
    serving.join(5)


def test_a_taken_port_is_an_error_of_the_caller(app: Flask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        bound_server("127.0.0.1", taken.getsockname()[1], app)


def test_errors_are_answered_in_the_applications_own_words(app: Flask) -> None:
    client = app.test_client()
    assert (client.get("/nothing").status_code, client.get("/nothing").text) == (404, "own words: 404")
    answer = client.delete("/")
    assert (answer.text, answer.headers["Allow"]) == ("own words: 405", "GET, HEAD, OPTIONS")


def test_a_defect_is_logged_once_with_its_trace(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    assert app.test_client().get("/broken").text == "own words: 500"
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Bearer sécret", "yes"),
        ("bearer sécret", "yes"),
        ("BEARER  sécret", "yes"),
        ("sécret", "no"),
        ("Basic sécret", "no"),
        ("Bearer secret", "no"),
        ("Bearer ", "no"),
        (None, "no"),
    ],
)
def test_the_bearer(app: Flask, header: str | None, said: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    assert app.test_client().get("/", headers=headers).text == said
