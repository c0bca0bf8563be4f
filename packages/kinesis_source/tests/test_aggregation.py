import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_source.aggregation import MAGIC, MAX_ROW_BYTES, SubRecord, aggregate, sub_records
from kinesis_source.fakes import FakeKinesis

KEYS = st.text(max_size=20).map(str.encode)
RECORDS = st.lists(st.builds(SubRecord, KEYS, st.binary(max_size=30)), min_size=1, max_size=20)


def sealed(message: bytes) -> bytes:
    return MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


@settings(max_examples=40, deadline=None)
@given(RECORDS)
def test_an_aggregate_is_taken_apart(records: list[SubRecord]) -> None:
    assert sub_records(aggregate(records)) == records


def test_one_of_another_producer() -> None:
    """As printed in the documentation of ExKpl, which is none of our code: one record, by one entry of the table."""
    message = bytes([10, 13]) + b"partition_key" + bytes([26, 8, 8, 0, 26, 4]) + b"data"
    digest = bytes([208, 54, 153, 218, 90, 34, 47, 163, 33, 8, 173, 27, 217, 85, 161, 78])
    data = bytes([243, 137, 154, 194]) + message + digest
    assert sub_records(data) == [SubRecord(b"partition_key", b"data")]


def test_shared_keys_hash_keys_tags_and_fields_of_a_later_format() -> None:
    record = b"\x1a\x0a" + b"\x08\x00" + b"\x10\x00" + b"\x1a\x01x" + b"\x22\x01t"  # index, hash key, data, a tag
    later = b"\x2d1234" + b"\x3112345678" + b"\x38\x07"
    found = sub_records(sealed(b"\x0a\x01k" + b"\x12\x017" + later + record + record))
    assert found == [SubRecord(b"k", b"x"), SubRecord(b"k", b"x")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MAGIC,
        MAGIC + bytes(16),
        sealed(b""),
        sealed(b"\x0a\x01k"),
        sealed(b"\x1a\x05\x08\x00\x1a\x01x"),  # no key at all
        sealed(b"\x0a\x01k\x1a\x02\x08\x00"),  # no data
        sealed(b"\x0a\x01k\x1a\x03\x1a\x01x"),  # no index
        sealed(b"\x0a\x01k\x1a\x05\x08\x01\x1a\x01x"),  # an index behind the table
        sealed(b"\x0a\x01k\x1a\x7f\x08\x00\x1a\x01x"),  # cut
        sealed(b"\x0a\x01k\x1b\x1c"),  # a group
        sealed(b"\xff" * 11),
        sealed(b"\x00\x00"),
        aggregate([SubRecord(b"k" * 257, b"x")]),
    ],
    ids=lambda data: data.hex()[:40],
)
def test_what_is_not_whole_is_an_ordinary_record(data: bytes) -> None:
    assert sub_records(data) is None


@settings(max_examples=40, deadline=None)
@given(RECORDS, st.randoms(use_true_random=False))
def test_damage_anywhere_makes_it_an_ordinary_record(records: list[SubRecord], chance: random.Random) -> None:
    data = bytearray(aggregate(records))
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    assert sub_records(bytes(data)) is None
    assert sub_records(aggregate(records)[: chance.randrange(len(data))]) is None


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60))
def test_any_message_under_a_right_checksum_is_taken_apart_or_left(message: bytes) -> None:
    assert sub_records(sealed(message)) != []


def test_few_bytes_do_not_become_many() -> None:
    key = "𝄞".encode() * 256
    empty = b"\x1a\x04\x08\x00\x1a\x00"
    assert len(sub_records(sealed(b"\x0a\x80\x08" + key + empty * 1_000)) or ()) == 1_000
    assert MAX_ROW_BYTES // len(key) < 100_000
    assert sub_records(sealed(b"\x0a\x80\x08" + key + empty * 100_000)) is None


@pytest.mark.parametrize("most", ["2", "1000"])
def test_a_batch_holds_all_rows_of_a_record_in_their_order_and_again(
    query: Callable[..., Any], kinesis: FakeKinesis, most: str
) -> None:
    """A row limit never cuts an aggregate; what the spool held and what Kinesis gives again are one."""
    data = [[b"%d-%d" % (number, sub) for sub in range(5)] for number in range(4)]
    kinesis.put_records(
        StreamName="s",
        Records=[{"Data": aggregate([SubRecord(b"key", one) for one in inner]), "PartitionKey": "k"} for inner in data],
    )
    reading = query(maxRecordsPerTrigger=most)
    for _ in range(20):
        reading.fetch()
        if reading.plan():
            spooled = reading.read()
            reading.restart()
            assert reading.read() == spooled
            reading.commit(spooled)
    assert reading.data == [one for inner in data for one in inner]
    assert [len(batch) for batch in reading.batches if batch] == ([5, 5, 5, 5] if most == "2" else [20])
