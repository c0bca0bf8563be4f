from ingest_proxy.tails import Tails


def acknowledge(tails: Tails, offset: int, log_id: str) -> int | None:
    """None where the offset is certainly in the log, else the mark to confirm."""
    return None if tails.follows(0, offset, log_id) else tails.doubt(0, offset)


def test_an_offset_is_certain_once_the_one_before_was_confirmed() -> None:
    tails = Tails()
    mark = acknowledge(tails, 7, "A")
    assert mark is not None
    assert acknowledge(tails, 8, "A") is not None, "nothing was confirmed yet"
    tails.confirm("A", {0: mark})
    assert acknowledge(tails, 9, "A") is None
    assert acknowledge(tails, 10, "A") is None


def test_a_jump_ends_certainty() -> None:
    tails = Tails()
    tails.confirm("A", {0: acknowledge(tails, 7, "A") or 0})
    assert acknowledge(tails, 0, "A") is not None
    assert acknowledge(tails, 1, "A") is not None


def test_a_confirmation_from_before_a_jump_counts_no_more() -> None:
    tails = Tails()
    early = acknowledge(tails, 7, "A")
    assert early is not None
    acknowledge(tails, 0, "A")
    tails.confirm("A", {0: early})
    assert acknowledge(tails, 1, "A") is not None


def test_another_log_is_never_certain() -> None:
    tails = Tails()
    tails.confirm("A", {0: acknowledge(tails, 7, "A") or 0})
    assert acknowledge(tails, 8, "B") is not None


def test_the_first_offset_of_an_empty_partition_is_in_doubt() -> None:
    assert acknowledge(Tails(), 0, "A") is not None
