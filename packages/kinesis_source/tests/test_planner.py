import json

import pytest
from kinesis_source.identity import StreamId
from kinesis_source.offsets import Offset, ShardOffset, Start, from_json, later, to_json
from kinesis_source.planner import Chunk, Observed, Sightings, TipRule, plan, readable, reconcile, starting_shards
from kinesis_source.stream import Shard

STREAM = StreamId("arn", 1)
TRIM = Start("TRIM")
NOTHING = Sightings({}, {})
TIPS = TipRule(step_ms=1000, began_ms=50)


def offset(**shards: ShardOffset) -> Offset:
    return Offset(STREAM, shards)


def listed(shard_id: str, *parents: str, closed: bool = False) -> Shard:
    return Shard(shard_id, parents, "1", closed)


def chunk(shard_id: str, first: int, last: int, arrived_ms: int = 0) -> Chunk:
    count = last - first + 1
    return Chunk(shard_id, str(first), str(last), count, count, count, f"{shard_id}-{first}", 0, arrived_ms)


def cut(whole: Chunk, rows: int) -> tuple[Chunk, Chunk]:
    at = int(whole.first) + rows
    return chunk(whole.shard_id, int(whole.first), at - 1), chunk(whole.shard_id, at, int(whole.last), 0)


def test_sequence_numbers_are_integers() -> None:
    assert later("10", "9")
    assert not later("9", "10")
    assert not later("9", "9")


def test_an_offset_survives_its_json() -> None:
    shards = {
        "a": ShardOffset(TRIM),
        "b": ShardOffset(Start("TS", 5)),
        "c": ShardOffset(first="1", last="2", records=2, tip_ms=7, last_ms=6),
        "d": ShardOffset(last="3", closed=True),
        "e": ShardOffset(Start("TS", 5), closed=True),
    }
    whole = Offset(STREAM, shards, listed_ms=8, retention_ms=9)
    assert from_json(to_json(whole)) == whole
    assert to_json(from_json(to_json(whole))) == to_json(whole)


def test_an_offset_of_an_earlier_version_is_read() -> None:
    """As it was written before it held retention, the time of the listing, and arrivals."""
    old = json.loads(
        """{"version": 1, "stream": {"arn": "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
            "created_ms": 1767225600000}, "shards": {
            "shardId-000000000000": {"last": "4966", "closed": true},
            "shardId-000000000001": {"first": "4968", "last": "4969", "rows": 7, "tip_ms": 1767229200000},
            "shardId-000000000002": {"pos": "TRIM"}, "shardId-000000000003": {"pos": "TS", "ts": 1767225600001}}}"""
    )
    found = from_json(old)
    assert list(found.ranges()) == [("shardId-000000000001", "4968", "4969", 7)]
    assert list(found.shards.values()) == [
        ShardOffset(last="4966", closed=True),
        ShardOffset(first="4968", last="4969", records=7, tip_ms=1767229200000),
        ShardOffset(TRIM),
        ShardOffset(Start("TS", 1767225600001)),
    ]
    assert (found.listed_ms, found.retention_ms) == (1767229200000 - 60_000, None)


def test_closed_shards_have_nothing_from_now_on() -> None:
    shards = [listed("a", closed=True), listed("b", "a")]
    now = Start("TS", 5)
    begun = ShardOffset(now, tip_ms=4)
    assert starting_shards(shards, now, 4, from_now=True) == {"a": ShardOffset(closed=True), "b": begun}
    assert starting_shards(shards, now, 4, from_now=False) == {"a": begun, "b": begun}


def test_new_shards_are_read_from_their_oldest_record_and_gone_ones_are_dropped() -> None:
    start = offset(a=ShardOffset(last="1", closed=True), b=ShardOffset(last="2"), c=ShardOffset(last="3"))
    in_hand = {"c": Observed([chunk("c", 4, 5)])}
    known, gone = reconcile(start, [listed("b"), listed("d", "b")], in_hand, NOTHING)
    assert known.shards == {"b": start.shards["b"], "c": start.shards["c"], "d": ShardOffset(TRIM)}
    assert gone == []
    known, gone = reconcile(start, [listed("a"), listed("b")], {}, NOTHING)
    assert gone == ["c"]


def test_a_listed_ancestor_of_a_known_shard_is_not_new() -> None:
    start = offset(d=ShardOffset(last="1"))
    shards = [listed("a", closed=True), listed("b", "a", closed=True), listed("d", "b"), listed("e", "b")]
    known, _ = reconcile(start, shards, {}, NOTHING)
    assert known.shards.keys() == {"d", "e"}


@pytest.mark.parametrize(
    ("tip_ms", "open_ms", "fetched_ms", "absent_ms", "listed_ms", "expected_ms"),
    [
        (3, None, None, None, None, 3),
        (3, 4, None, None, None, 4),
        (3, 4, 5, None, None, 5),
        (3, 4, 5, 6, None, 6),
        (3, 4, 5, 6, 7, 7),
        (None, None, None, None, None, None),
    ],
)
def test_a_new_shard_is_younger_than_the_last_time_that_its_parent_was_open_or_it_was_not_there(
    tip_ms: int, open_ms: int, fetched_ms: int, absent_ms: int, listed_ms: int, expected_ms: int
) -> None:
    parents = {"a": ShardOffset(last="1", tip_ms=1), "b": ShardOffset(last="2", tip_ms=tip_ms, closed=True)}
    start = Offset(STREAM, parents, listed_ms)
    seen = Sightings(
        {} if open_ms is None else {"b": open_ms, "other": 99}, {} if absent_ms is None else {"d": absent_ms, "x": 99}
    )
    observed = {} if fetched_ms is None else {"b": Observed(open_ms=fetched_ms, tip_ms=98, ended=True)}
    known, _ = reconcile(start, [listed("a"), listed("b"), listed("d", "a", "b")], observed, seen)
    assert known.shards["d"].tip_ms == (expected_ms if expected_ms is not None else 1)


def test_children_of_shards_that_wait_for_a_time_wait_for_it() -> None:
    start = offset(a=ShardOffset(Start("TS", 99)))
    known, _ = reconcile(start, [listed("a"), listed("b", "a"), listed("c", "b")], {}, NOTHING)
    assert [shard.start for shard in known.shards.values()] == [Start("TS", 99)] * 3


def test_an_empty_listing_says_nothing() -> None:
    start = offset(a=ShardOffset(last="1"))
    assert reconcile(start, [], {}, NOTHING) == (start, ())


def test_children_wait_for_every_known_parent() -> None:
    shards = [listed("a"), listed("b"), listed("c", "a", "b"), listed("d", "gone")]
    known = offset(a=ShardOffset(TRIM), b=ShardOffset(closed=True), c=ShardOffset(TRIM), d=ShardOffset(TRIM))
    assert readable(known, shards, set()).keys() == {"a", "d"}
    assert readable(known, shards, {"a"}).keys() == {"a", "c", "d"}


def test_chunks_are_taken_in_the_order_of_arrival_up_to_the_limit() -> None:
    known = offset(a=ShardOffset(TRIM), b=ShardOffset(last="50"))
    seen = {
        "a": Observed([chunk("a", 1, 4, 10), chunk("a", 5, 8, 30)], tip_ms=99),
        "b": Observed([chunk("b", 51, 54, 20), chunk("b", 55, 58, 40)], tip_ms=99),
    }
    found = plan(known, [listed("a"), listed("b")], seen, 10, cut, tips=TIPS, seen=NOTHING)
    assert found is not None
    assert found.end.shards == {
        "a": ShardOffset(first="1", last="6", records=6),
        "b": ShardOffset(first="51", last="54", records=4),
    }
    [(whole, head, tail)] = found.cuts
    assert (whole.first, head.last, tail.first, tail.last) == ("5", "6", "7", "8")
    rest = plan(known, [listed("a"), listed("b")], seen, None, cut, tips=TIPS, seen=NOTHING)
    assert rest is not None
    assert rest.end.shards["a"] == ShardOffset(first="1", last="8", records=8, tip_ms=99)


def test_a_chunk_whose_file_is_gone_is_taken_whole() -> None:
    seen = {"a": Observed([chunk("a", 1, 9)])}
    found = plan(offset(a=ShardOffset(TRIM)), [listed("a")], seen, 4, lambda *_: None, tips=TIPS, seen=NOTHING)
    assert found is not None
    assert found.end.shards["a"].last == "9"


def test_nothing_new_is_no_plan() -> None:
    known = offset(a=ShardOffset(first="1", last="2"), b=ShardOffset(TRIM))
    assert (
        plan(known, [listed("a"), listed("b")], {"a": Observed(tip_ms=5)}, None, cut, tips=TIPS, seen=NOTHING) is None
    )


@pytest.mark.parametrize(("said_ms", "seen_ms"), [(7, 1007), (None, 1050)])
def test_that_a_shard_was_read_to_its_end_is_said_from_time_to_time(said_ms: int | None, seen_ms: int) -> None:
    known = offset(a=ShardOffset(first="1", last="2", tip_ms=said_ms), b=ShardOffset(last="2", closed=True))
    shards = [listed("a"), listed("b", closed=True)]
    assert plan(known, shards, {"a": Observed(tip_ms=seen_ms - 1)}, None, cut, tips=TIPS, seen=NOTHING) is None
    found = plan(known, shards, {"a": Observed(tip_ms=seen_ms)}, None, cut, tips=TIPS, seen=NOTHING)
    assert found is not None
    assert found.end.shards["a"] == ShardOffset(last="2", tip_ms=seen_ms)
    assert list(found.end.ranges()) == []


def test_what_waits_behind_its_parent_is_not_said_to_be_read() -> None:
    known = offset(a=ShardOffset(TRIM), c=ShardOffset(TRIM))
    seen = {"c": Observed([chunk("c", 3, 4)], tip_ms=9999)}
    assert plan(known, [listed("a"), listed("c", "a")], seen, None, cut, tips=TIPS, seen=NOTHING) is None


def test_first_is_of_one_batch_alone() -> None:
    known = offset(
        a=ShardOffset(first="1", last="2"), b=ShardOffset(first="1", last="2", closed=True), c=ShardOffset(TRIM)
    )
    found = plan(known, [], {"c": Observed([chunk("c", 1, 1)])}, None, cut, tips=TIPS, seen=NOTHING)
    assert found is not None
    assert found.end.shards["a"] == ShardOffset(last="2")
    assert found.end.shards["b"] == ShardOffset(last="2", closed=True)
    assert list(found.end.ranges()) == [("c", "1", "1", 1)]


def test_a_shard_is_closed_with_its_last_chunk() -> None:
    known = offset(a=ShardOffset(TRIM), b=ShardOffset(TRIM))
    shards = [listed("a", closed=True), listed("b", closed=True), listed("c", "a")]
    seen = {"a": Observed([chunk("a", 1, 6)], ended=True), "b": Observed(ended=True)}
    some = plan(known, shards, seen, 4, cut, tips=TIPS, seen=NOTHING)
    assert some is not None
    assert some.end.shards == {"a": ShardOffset(first="1", last="4", records=4), "b": ShardOffset(closed=True)}
    everything = plan(known, shards, seen, None, cut, tips=TIPS, seen=NOTHING)
    assert everything is not None
    assert everything.end.shards["a"] == ShardOffset(first="1", last="6", records=6, closed=True)


def test_children_fetched_early_wait_for_the_batch_after_their_parents() -> None:
    known = offset(a=ShardOffset(TRIM), c=ShardOffset(TRIM))
    seen = {"a": Observed([chunk("a", 1, 2)], ended=True), "c": Observed([chunk("c", 3, 4)])}
    found = plan(known, [listed("a", closed=True), listed("c", "a")], seen, None, cut, tips=TIPS, seen=NOTHING)
    assert found is not None
    assert found.end.shards["c"] == ShardOffset(TRIM)
