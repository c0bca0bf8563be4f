import pyarrow as pa
from kinesis_source.places import place_order, places


def of(*rows: tuple[str, str]) -> list[str]:
    shards, numbers = zip(*rows, strict=True) if rows else ((), ())
    # In two pieces, as Spark gives them.
    pieces = [
        pa.chunked_array([pa.array(column[:2], pa.string()), pa.array(column[2:], pa.string())])
        for column in (shards, numbers)
    ]
    found: list[str] = places(*pieces).to_pylist()
    return found


def test_records_have_their_sequence_number() -> None:
    assert of(("a", "9"), ("a", "10"), ("b", "10"), ("a", "11")) == ["9", "10", "10", "11"]
    assert of(("a", "9")) == ["9"]
    assert of() == []


def test_rows_of_one_record_are_numbered() -> None:
    rows = [("a", "9"), ("a", "9"), ("a", "9"), ("a", "10"), ("b", "10"), ("b", "10"), ("a", "11")]
    assert of(*rows) == ["9", "9.1", "9.2", "10", "10", "10.1", "11"]


def test_places_compare_like_the_rows() -> None:
    in_order = ["9", "9.1", "9.2", "9.10", "10", "10.1", "100"]
    assert sorted(sorted(in_order), key=place_order) == in_order
