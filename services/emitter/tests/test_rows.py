import pytest
from emitter.rows import Event, Rejection, Row, examine
from pipeline_contracts.content import content_hash
from pipeline_contracts.events import MAX_RECORD_BYTES


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b'{"index":7,"title":"a"}', "7"),
        (b'{"ind":0}', "0"),
        (b'{"index":2147483647}', "2147483647"),
        ('{"ind": 12, "first_name": "Zoë 😍\\n"}'.encode(), "12"),
    ],
)
def test_good_rows_keep_their_bytes(value: bytes, key: str) -> None:
    event = examine(Row("geo", value, "1"))
    assert isinstance(event, Event)
    assert (event.key, event.row.value, event.content_hash) == (key, value, content_hash(value))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b'{"ind":1}{"ind":2}', "not JSON"),
        (b'{"ind":1,"country":"\xff"}', "not JSON"),
        (b'{"ind":NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"id":1}', "no usable key"),
        (b'{"ind":"1"}', "no usable key"),
        (b'{"ind":true}', "no usable key"),
        (b'{"ind":1.0}', "no usable key"),
        (b'{"ind":-1}', "no usable key"),
        (b'{"ind":2147483648}', "no usable key"),
        (b'{"ind":1,"x":"' + b"a" * MAX_RECORD_BYTES + b'"}', "larger than"),
    ],
)
def test_bad_rows_say_why(value: bytes, reason: str) -> None:
    rejection = examine(Row("pin", value, "3"))
    assert isinstance(rejection, Rejection)
    assert rejection.reason.startswith(reason)
    assert rejection.row.value == value
