import io
import json
import logging

import pytest
from service_kit.logs import JsonFormatter, configure_logging


def record(**extra: object) -> logging.LogRecord:
    return logging.getLogger("a.b").makeRecord("a.b", logging.INFO, "f", 1, "records stored", (), None, extra=extra)


def test_line_has_service_level_event_and_extra() -> None:
    line = json.loads(JsonFormatter("proxy").format(record(topic="t", offset=3)))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info", "service": "proxy", "logger": "a.b", "event": "records stored", "topic": "t", "offset": 3,
    }  # fmt: skip


def test_what_json_does_not_know_becomes_text() -> None:
    assert json.loads(JsonFormatter("proxy").format(record(path={1})))["path"] == "{1}"


def test_lines_go_to_the_stream_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    root, stream = logging.RootLogger(logging.WARNING), io.StringIO()
    monkeypatch.setattr(logging, "root", root)
    configure_logging("emitter", "INFO", stream)
    root.info("sent")
    root.debug("a detail")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "sent"
