"""Records are counted where streams take them."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pipeline_local.localstack_edge import records
from pipeline_local.localstack_edge.records import StreamRecords
from prometheus_client.parser import text_string_to_metric_families

NAMES = st.sampled_from(["a", "b-1", "c_.2"])
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/"
STORED, REFUSED = {"SequenceNumber": "1"}, {"ErrorCode": "ProvisionedThroughputExceededException"}


def counted(counts: StreamRecords) -> dict[str, float]:
    [family] = text_string_to_metric_families(counts.text())
    return {sample.labels["stream"]: sample.value for sample in family.samples}


@given(st.lists(st.tuples(NAMES, st.booleans(), st.lists(st.booleans(), max_size=4) | st.none())))
def test_what_is_stored_counts_and_nothing_else(calls: list[tuple[str, bool, list[bool] | None]]) -> None:
    counts, expected = StreamRecords(), Counter[str]()
    for name, by_arn, batch in calls:
        asked = {"StreamARN": f"{ARN}{name}"} if by_arn else {"StreamName": name}
        if batch is None:
            counts.took("PutRecord", asked, STORED)
            expected[name] += 1
        else:
            counts.took("PutRecords", asked, {"Records": [STORED if stored else REFUSED for stored in batch]})
            expected[name] += sum(batch)
        counts.took("GetRecords", asked, {"Records": [STORED]})
    assert counted(counts) == expected


def test_names_are_bounded() -> None:
    counts = StreamRecords()
    for number in range(records._MOST_STREAMS + 5):
        counts.took("PutRecord", {"StreamName": f"s{number}"}, STORED)
    counts.took("PutRecord", {"StreamName": "s0"}, STORED)
    found: dict[str, Any] = counted(counts)
    assert (len(found), found["s0"], found["(others)"]) == (records._MOST_STREAMS + 1, 2, 5)
