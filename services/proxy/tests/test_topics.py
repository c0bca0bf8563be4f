"""The thread that reads, over an admin client that does what the test says; integration tests have the real one."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicCollection
from ingest_proxy import topics
from ingest_proxy.errors import UnavailableError
from ingest_proxy.topics import KafkaTopics, Reading


class Admin:
    """The part of ``AdminClient`` that is used here: one topic, of the life that ``log_id`` says."""

    def __init__(self) -> None:
        self.log_id = "A"
        self.answers = threading.Event()
        self.answers.set()

    def describe_topics(self, _: TopicCollection, request_timeout: float) -> "dict[str, Future[Any]]":
        assert self.answers.wait(30)
        future: Future[Any] = Future()
        future.set_result(SimpleNamespace(topic_id=self.log_id, partitions=[]))
        return {"t": future}


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    made = Admin()
    monkeypatch.setattr(topics, "AdminClient", lambda *_, **__: made)
    monkeypatch.setattr(topics, "_REFRESH_S", 0.01)
    yield made
    made.answers.set()


def awaited(call: Callable[[], Reading], log_id: str | None) -> None:
    """Ask until the topic has this id, or, for None, until there is no answer."""
    deadline = time.monotonic() + 5
    found = None
    while time.monotonic() < deadline:
        try:
            found = call().topics["t"].log_id
        except UnavailableError:
            found = None
        if found == log_id:
            return
    raise AssertionError(f"{found}, not {log_id}")


def test_a_new_log_is_told_until_it_is_taken(admin: Admin) -> None:
    told: list[str] = []

    def renew() -> None:
        told.append(admin.log_id)
        if len(told) < 3:
            raise RuntimeError("a defect")

    with closing(KafkaTopics("", ["t"], renew)) as known:
        awaited(known.latest, "A")
        admin.log_id = "B"
        awaited(known.read_now, "B")
    assert told == ["B"] * 3


def test_who_asks_while_reading_fails_hears_it_at_once(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(KafkaTopics("", ["t"], lambda: None)) as known:
        awaited(known.read_now, "A")
        monkeypatch.setattr(admin, "describe_topics", lambda *_, **__: 1 / 0)
        begun = time.monotonic()
        awaited(known.read_now, None)
        assert time.monotonic() - begun < 2


def test_an_old_reading_is_not_believed(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(KafkaTopics("", ["t"], lambda: None)) as known:
        awaited(known.latest, "A")
        admin.answers.clear()
        monkeypatch.setattr(topics, "_OLD_S", 0.05)
        awaited(known.latest, None)
        admin.answers.set()
        awaited(known.latest, "A")
