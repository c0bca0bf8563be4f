import pytest
from pipeline_local.commands_demo import DEFAULT_EVENTS, demo, emitter_arguments

URL = "mysql+pymysql://reader:secret@db/posts"


def test_the_shells_source_is_the_demos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMITTER_SOURCE", URL)
    assert demo.make_context("demo", []).params["source"] == URL
    assert demo.make_context("demo", ["--source", "posts"]).params["source"] == "posts"


def test_a_source_is_sent_to_its_end_and_its_password_is_no_argument() -> None:
    arguments = emitter_arguments(URL, None, 1, None)
    assert "--events" not in arguments
    assert not [one for one in arguments if "secret" in one]


def test_made_up_posts_have_a_number() -> None:
    assert emitter_arguments(None, None, 1, 50.0)[-4:] == ["--rate", "50.0", "--events", str(DEFAULT_EVENTS)]
