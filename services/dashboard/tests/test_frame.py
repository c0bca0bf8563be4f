"""What every page and resource has in common."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from dashboard.api import frame as api
from dashboard.blocks import Block, empty, error, fresh, loading
from dashboard.compose import build
from dashboard.security import HEADERS
from dashboard.settings import Settings
from dashboard_frame import FrameOfTests
from flask import Blueprint, Flask, Response, render_template_string
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from service_kit.clock import ManualClock
from service_kit.inert import visible

PACKAGE = Path(__file__).parents[1] / "dashboard"
HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x1b[31m\"'&{{7*7}}"


def whole_app() -> Flask:
    return build(Settings.model_validate({}), ManualClock(), CollectorRegistry()).app


@pytest.fixture
def client() -> FlaskClient:
    return whole_app().test_client()


def hostile_pages() -> Blueprint:
    made = Blueprint("hostile", __name__)
    made.add_url_rule("/hostile", "page", lambda: render_template_string('<p title="{{ t }}">{{ t }}</p>', t=HOSTILE))
    made.add_url_rule("/defect", "defect", lambda: 1 / 0)  # type: ignore[arg-type]
    made.add_url_rule("/api/v1/defect", "api_defect", lambda: 1 / 0)  # type: ignore[arg-type]
    made.add_url_rule("/api/v1/kept", "kept", lambda: api.answer(api.parameters("a"), "run 1"))
    return made


def test_every_answer_has_the_headers_and_every_page_its_parts(frame: FrameOfTests) -> None:
    app = frame.app([hostile_pages()], allowed_hosts="dashboard")
    paths = ["/hostile", "/nowhere", "/api/v1/nowhere", "/api/v1/kept", "/livez", "/readyz", "/metrics", "/version"]
    paths += ["/defect", "/api/v1/defect", "/static/style.css", "/static/none", "/favicon.ico", "/openapi.json"]
    for client_host in ("localhost", "evil.example"):
        for path in paths:
            for verb in ("GET", "HEAD", "POST", "OPTIONS"):
                answer = app.test_client().open(path, method=verb, base_url=f"http://{client_host}")
                sent = {name: answer.headers.getlist(name) for name in HEADERS}
                assert sent == {name: [text] for name, text in HEADERS.items()}, (path, verb)
                assert answer.headers["Cache-Control"], (path, verb)
                assert (answer.status_code == 421) == (client_host != "localhost")


def test_only_get_and_head(client: FlaskClient) -> None:
    for path in ("/", "/answers", "/openapi.json", "/static/style.css", "/livez"):
        assert client.head(path).status_code == 200
        for verb in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = client.open(path, method=verb)
            assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, {"GET", "HEAD"}), path


def test_no_answer_leads_elsewhere(client: FlaskClient) -> None:
    for path in ("/answers//users_joined_by_year", "/static//etc/passwd", "/answers/", "/api//v1/answers"):
        answer = client.get(path, headers={"Host": "evil.example"})
        assert (answer.status_code, "Location" in answer.headers) == (404, False)


@pytest.mark.parametrize("setting", ["proxy_url", "airflow_page"])
def test_an_address_with_a_password_is_refused_since_pages_show_it(setting: str) -> None:
    with pytest.raises(ValueError, match="no name or password"):
        Settings.model_validate({setting: "http://ana:secret@proxy:8082"})


def test_errors_are_json_below_api_and_a_page_elsewhere(frame: FrameOfTests) -> None:
    client = frame.app([hostile_pages()]).test_client()
    for path, status in (("/api/v1/nowhere", 404), ("/api/v1/defect", 500), ("/api/v1/kept?b=1", 400)):
        answer = client.get(path)
        assert (answer.status_code, answer.get_json()["error_code"]) == (status, status)
    for path, status in (("/nowhere", 404), ("/defect", 500)):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype) == (status, "text/html")
        assert f"<b>{status}:</b>" in answer.text


def test_unknown_and_doubled_parameters_are_refused(client: FlaskClient) -> None:
    for page in ("/", "/answers", "/popular", "/records", "/audit"):
        assert client.get(page).status_code == 200
        answer = client.get(page + "?colour=%3Cscript%3E%E2%80%AE")
        assert answer.status_code == 400
        assert "<script>" not in answer.text
        assert "\u202e" not in answer.text


def test_a_doubled_parameter_is_refused(frame: FrameOfTests) -> None:
    client = frame.app([hostile_pages()]).test_client()
    assert client.get("/api/v1/kept?a=1").get_json() == {"a": "1"}
    assert client.get("/api/v1/kept?a=1&a=1").status_code == 400


@given(text=st.text(max_size=25) | st.integers().map(str))
def test_a_whole_number_is_within_its_range_or_refused(text: str) -> None:
    if re.fullmatch("0*([1-9][0-9]?|100)", text):
        assert api.whole({"limit": text}, "limit", 20, most=100) == int(text)
    else:
        with pytest.raises(api.RefusedError, match="from 1 to 100"):
            api.whole({"limit": text}, "limit", 20, most=100)


def test_a_browser_that_has_an_answer_gets_304(frame: FrameOfTests) -> None:
    client = frame.app([hostile_pages()]).test_client()
    first = client.get("/api/v1/kept")
    again = client.get("/api/v1/kept", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_foreign_text_is_inert_without_a_filter(frame: FrameOfTests) -> None:
    text = frame.app([hostile_pages()]).test_client().get("/hostile").text
    assert "<script>" not in text
    assert not {"\u202e", "\x1b"} & set(text)
    assert text.count(r"\u202egnp.exe\x1b[31m") == 2
    assert "{{7*7}}" in text


@pytest.mark.parametrize(
    ("block", "told"),
    [
        (loading(), "loading"),
        (empty(None, "Nothing was sent", "pipeline send"), "<code>pipeline send</code>"),
        (fresh("the value", ManualClock().now()), "as of"),
        (Block("stale", "the value", ManualClock().now(), "it is down"), "Not updated:"),
        (error("it is down"), "Cannot be read:"),
    ],
)
def test_a_section_shows_each_state(frame: FrameOfTests, block: Block[str], told: str) -> None:
    called = '{% call section(b, "Title", "t", "All else holds.") %}{{ b.value }}{% endcall %}'
    template = '{% from "macros.html" import section %}' + called
    made = Blueprint("section", __name__)
    made.add_url_rule("/section", "section", lambda: render_template_string(template, b=block))
    text = frame.app([made]).test_client().get("/section").text
    assert told in text
    assert f'data-state="{block.state}"' in text
    assert ("the value" in text) == (block.value is not None)
    assert ("All else holds." in text) == (block.state in {"stale", "error"})


def test_looking_is_noticed(frame: FrameOfTests) -> None:
    client = frame.app([hostile_pages()]).test_client()
    for path in ("/livez", "/metrics", "/static/style.css"):
        client.get(path)
        assert frame.attention.pause_s == 15
    client.get("/hostile")
    assert frame.attention.pause_s == 2
    frame.clock.sleep(60)
    assert frame.attention.pause_s == 15


def test_no_template_or_style_needs_what_the_policy_forbids() -> None:
    for file in [*PACKAGE.glob("templates/*.html"), *PACKAGE.glob("static/*")]:
        text = file.read_text()
        for word in (
            " style=",
            "<style",
            "onclick",
            "onload",
            "javascript:",
            "http:/" + "/",
            "https:/" + "/",
            "@import",
        ):
            assert word not in text.replace("http://www.w3.org/2000/svg", ""), (file.name, word)
        assert "|safe" not in text
        assert "innerHTML" not in text


def test_every_route_is_described() -> None:
    app = whole_app()
    document = json.loads(app.test_client().get("/openapi.json").data)
    told = {(path, verb.upper()) for path, item in document["paths"].items() for verb in item}
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), verb)
        for rule in app.url_map.iter_rules()
        for verb in (rule.methods or set()) - {"HEAD"}
        if rule.rule.startswith("/api/") or rule.rule == "/openapi.json"
    }
    assert told == routes | {(path, "GET") for path in ("/livez", "/readyz", "/version", "/metrics")}
    written = [json.loads(file.read_text())["paths"] for file in PACKAGE.glob("api/openapi/*.json")]
    assert {path for part in written for path in part} == {path for path, _ in told}


schema = schemathesis.openapi.from_wsgi("/openapi.json", whole_app())
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@schema.parametrize()
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_keeps_to_its_description(case: schemathesis.Case[Any]) -> None:
    # What was not read yet is answered by 503, as described; only a defect is 500.
    answer = case.call()
    assert answer.status_code != 500
    case.validate_response(answer, excluded_checks=[not_a_server_error])


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_told_as_json(text: str) -> None:
    assert json.loads(api.answer({"text": text}).data) == {"text": text}


def test_what_a_page_shows_of_errors_is_what_was_refused() -> None:
    answer: Response = api.error(400, HOSTILE)
    assert json.loads(answer.data)["message"] == visible(HOSTILE)
