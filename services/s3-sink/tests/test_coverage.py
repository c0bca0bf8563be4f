from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3_sink.coverage import Coverage, Hole, Range

ranges = st.builds(lambda first, size: Range(first, first + size), st.integers(0, 60), st.integers(1, 20))


def offsets(parts: list[Range]) -> set[int]:
    return {offset for part in parts for offset in range(part.first, part.end)}


@given(st.lists(ranges))
def test_it_is_the_set_of_all_offsets(parts: list[Range]) -> None:
    coverage = Coverage(parts)
    expected = offsets(parts)
    assert offsets(list(coverage)) == expected
    assert {offset for offset in range(100) if offset in coverage} == expected
    assert coverage == Coverage(reversed(parts))
    kept = list(coverage)
    assert all(left.end < right.first for left, right in pairwise(kept)), "they touch"


@given(st.lists(ranges))
def test_the_holes_are_the_rest(parts: list[Range]) -> None:
    coverage = Coverage(parts)
    holes = coverage.holes()
    assert holes[-1].end is None
    assert holes[0] == coverage.first_hole()
    assert offsets([Range(hole.first, hole.end or 100) for hole in holes]) == set(range(100)) - offsets(parts)


@given(st.lists(ranges))
def test_filling_the_first_hole_again_and_again_covers_all_exactly_once(parts: list[Range]) -> None:
    coverage = Coverage(parts)
    filled: list[int] = []
    while (hole := coverage.first_hole()).end is not None:
        filled.extend(range(hole.first, hole.end))
        coverage.add(Range(hole.first, hole.end))
    assert len(filled) == len(set(filled))
    assert not set(filled) & offsets(parts)
    assert list(coverage) == ([Range(0, hole.first)] if hole.first else [])


@given(st.lists(ranges), ranges)
def test_what_is_missing_in_a_range(parts: list[Range], asked: Range) -> None:
    missing = Coverage(parts).missing_in(asked)
    assert offsets(missing) == offsets([asked]) - offsets(parts)


@pytest.mark.parametrize(
    ("parts", "hole"),
    [
        ([], Hole(0, None)),
        ([Range(0, 5)], Hole(5, None)),
        ([Range(3, 5)], Hole(0, 3)),
        ([Range(0, 5), Range(8, 9)], Hole(5, 8)),
        ([Range(0, 5), Range(5, 9)], Hole(9, None)),
        ([Range(0, 7), Range(3, 9)], Hole(9, None)),
    ],
)
def test_first_hole(parts: list[Range], hole: Hole) -> None:
    assert Coverage(parts).first_hole() == hole


@pytest.mark.parametrize(("first", "end"), [(0, 0), (5, 3), (-1, 2)])
def test_no_range(first: int, end: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        Range(first, end)
