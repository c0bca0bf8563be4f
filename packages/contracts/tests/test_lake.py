import json

import pytest
from pipeline_contracts.lake import Cleaned, gold, silver, stream_table
from pipeline_contracts.names import Names


def test_tables() -> None:
    tables = (silver("pin"), gold("users_joined_by_year"), stream_table(Names("x-1"), "geo"))
    assert tables == ("silver/pin", "gold/users_joined_by_year", "stream/x-1_geo_table")


@pytest.mark.parametrize("cleaned", [Cleaned(7), Cleaned(7, replaying=True)])
def test_a_note_is_read_as_it_was_written(cleaned: Cleaned) -> None:
    assert Cleaned.newest([cleaned.note, Cleaned(3).note]) == cleaned


def test_the_note_of_a_release_before() -> None:
    assert json.loads(Cleaned(7).note) == {"cleaned_batch": 7}
    assert Cleaned.newest(["no JSON", '{"else": 1}', '{"cleaned_batch": 7, "later": true}']) == Cleaned(7)
    assert Cleaned.newest([]) == Cleaned(0)
