import pytest
from stream_reader.queries.known import Known


def known(**highest: str) -> Known:
    def not_asked() -> None:
        raise AssertionError("the tables were read")

    return Known(not_asked, highest)  # type: ignore[arg-type]


def test_nothing_known_nothing_overlaps() -> None:
    assert not known().overlaps([("a", "1")])


@pytest.mark.parametrize(
    ("offset", "overlaps"),
    [("10", True), ("9", True), ("10.1", False), ("9.12", True), ("11", False), ("100", False)],
)
def test_up_to_the_highest(offset: str, overlaps: bool) -> None:
    assert known(a="10").overlaps([("a", "200"), ("a", offset)]) == overlaps


def test_a_shard_that_is_past_it_is_looked_up_no_more() -> None:
    found = known(a="10", b="10")
    assert not found.overlaps([("a", "11"), ("c", "1")])
    assert not found.overlaps([("a", "3")])
    assert found.overlaps([("a", "12"), ("b", "10"), ("b", "11")])
    assert found.overlaps([("b", "10")])
    assert not found.overlaps([("b", "11")])
    assert not found.overlaps([("b", "10")])
