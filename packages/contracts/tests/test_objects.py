import pytest
from pipeline_contracts.objects import MAX_OFFSET, ObjectName, integer, parse_object_key


@pytest.mark.parametrize("log_id", [None, "b2kAAAAAQACAAA"])
def test_key_is_read_back(log_id: str | None) -> None:
    name = ObjectName(topic="pinterest.geo", partition=2, start_offset=414, log_id=log_id)
    assert parse_object_key(name.key) == name


def test_a_log_id_in_plain_base64_does_not_divide_a_name() -> None:
    key = ObjectName("pinterest.geo", 2, 414, "+/kAAAAAQACAAA+/").key
    assert key == (
        "topics/pinterest.geo/log=-_kAAAAAQACAAA-_/partition=2/pinterest.geo+2+00000000000000000414.jsonl.gz"
    )
    assert parse_object_key(key) == ObjectName("pinterest.geo", 2, 414, "-_kAAAAAQACAAA-_")


def test_key_is_what_the_connector_writes() -> None:
    name = ObjectName("pinterest.geo", 0, 414)
    assert name.key == "topics/pinterest.geo/partition=0/pinterest.geo+0+00000000000000000414.jsonl.gz"


@pytest.mark.parametrize(
    "key",
    [
        "topics/a.pin/partition=1/a.pin+1+0000000003.json",
        "topics/a.pin/partition=1/a.pin+1+3.jsonl",
        "topics/a.pin/partition=1/a.pin+1+03.json.gz",
    ],
)
def test_other_installations_keys(key: str) -> None:
    assert parse_object_key(key) == ObjectName("a.pin", 1, 3)


@pytest.mark.parametrize(
    "key",
    [
        "topics/a.pin/partition=1/b.pin+1+3.jsonl",
        "topics/a.pin/partition=1/a.pin+2+3.jsonl",
        "notes.txt",
        "topics/a.pin/partition=99999999999/a.pin+99999999999+3.jsonl",
        "topics/a.pin/partition=1/a.pin+1+99999999999999999999.jsonl",
    ],
)
def test_other_keys_are_not_ours(key: str) -> None:
    assert parse_object_key(key) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), (str(MAX_OFFSET), MAX_OFFSET), (str(MAX_OFFSET + 1), None), ("9" * 5000, None),
     ("-1", None), (" 1", None), ("٣", None), ("", None), ("x", None)],
)  # fmt: skip
def test_a_number_that_is_none(text: str, number: int | None) -> None:
    assert integer(text, MAX_OFFSET) == number
