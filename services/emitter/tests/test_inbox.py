import threading

from emitter.inbox import Inbox, Request
from emitter.rows import Record


def record(number: int, key: str = "1", content: str = "a", name: str = "t", size: int = 10) -> Record:
    return Record(number, name, key, content, b"x" * size)


def never() -> bool:
    return False


def taken(inbox: Inbox, most: int = 100, most_bytes: int = 10_000) -> list[int]:
    request = inbox.take(most, most_bytes, never)
    return [] if request is None else [one.id for one in request.records]


def filled(*records: Record) -> Inbox:
    inbox = Inbox(1_000, 1_000_000)
    assert inbox.put(records, never)
    inbox.close()
    return inbox


def test_requests_are_bounded_by_records_and_bytes() -> None:
    inbox = filled(*(record(number, key=str(number), size=1_000) for number in range(7)))
    assert taken(inbox, most=3) == [0, 1, 2]
    assert taken(inbox, most_bytes=2_200) == [3, 4]
    assert taken(inbox, most_bytes=1) == [5], "a record that is too large goes alone"
    assert taken(inbox) == [6]
    assert taken(inbox) == []


def test_a_request_holds_one_content_of_each_key() -> None:
    inbox = filled(
        record(1, "k", "a"), record(2, "k", "a"), record(3, "k", "b"), record(4, "j", "a"), record(5, "k", "a")
    )
    assert [taken(inbox), taken(inbox), taken(inbox), taken(inbox)] == [[1, 2, 4], [3], [5], []]


def test_topics_go_apart_the_longest_waiting_first() -> None:
    inbox = filled(record(1, name="pin"), record(2, name="geo"), record(3, name="pin"), record(4, name="user"))
    names = []
    while request := inbox.take(10, 10_000, never):
        assert isinstance(request, Request)
        names.append((request.name, [one.id for one in request.records]))
    assert names == [("pin", [1, 3]), ("geo", [2]), ("user", [4])]


def test_put_blocks_while_full_and_ends_when_stopped() -> None:
    inbox = Inbox(2, 1_000)
    done = threading.Event()

    def fill() -> None:
        inbox.put([record(number, key=str(number)) for number in range(5)], never)
        done.set()

    thread = threading.Thread(target=fill)
    thread.start()
    assert not done.wait(0.05)
    seen: list[int] = []
    while len(seen) < 5:
        seen += taken(inbox, most=1)
    thread.join(5)
    assert seen == [0, 1, 2, 3, 4]
    assert not Inbox(1, 1).put([record(1), record(2)], lambda: True)
    assert Inbox(1, 1).take(1, 1, lambda: True) is None
