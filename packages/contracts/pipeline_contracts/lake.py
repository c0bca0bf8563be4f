"""The lake: names of its tables, its answers, why a record is quarantined, and how far silver has come."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

import msgspec

from pipeline_contracts.names import Kind, Names

EVENTS: Final = "bronze/events"
OBJECTS: Final = "bronze/objects"
QUARANTINE: Final = "quarantine/batch"
RUNS: Final = "runs"
STREAM_QUARANTINE: Final = "quarantine/stream"
POPULARITY: Final = "stream/profile_popularity"

Reason = Literal[
    "not_json", "not_object", "wrong_kind", "bad_envelope", "bad_key", "bad_number", "bad_date", "out_of_range"
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""Why a record is quarantined. A record with several faults gets the first of them in this order.

``bad_envelope`` is of the stream path alone.
"""

ANSWERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "most_popular_category_by_country": "1. Most popular category in each country",
        "most_popular_category_by_year": "2. Most popular category each year",
        "top_poster_by_country": "3. User with the most followers in each country",
        "country_of_top_poster": "3. Country of the user with the most followers",
        "most_popular_category_by_age_group": "4. Most popular category for each age group",
        "median_followers_by_age_group": "5. Median follower count for each age group",
        "users_joined_by_year": "6. Users joined each year",
        "median_followers_by_join_year": "7. Median follower count by joining year",
        "median_followers_by_join_year_and_age_group": "8. Median follower count by joining year and age group",
    }
)
"""The nine tables of the eight questions, in order, with their titles."""


def silver(kind: Kind) -> str:
    """The table of one kind's current rows."""
    return f"silver/{kind}"


def gold(answer: str) -> str:
    """The table of one answer."""
    return f"gold/{answer}"


def stream_table(names: Names, kind: Kind) -> str:
    """The table of one kind's streaming rows."""
    return f"stream/{names.stream_table(kind)}"


class Cleaned(msgspec.Struct, frozen=True, omit_defaults=True):
    """The note of a commit of silver, as JSON.

    ``cleaned_batch`` is the last ingest batch that the table covers. ``replaying`` says that some of its rows are in
    quarantine as well, until the replay that made the commit takes them from there.
    """

    cleaned_batch: int
    replaying: bool = False

    @classmethod
    def newest(cls, notes: Iterable[str]) -> "Cleaned":
        """The first of the notes that is one; where none is left nothing is covered, which cleans all again."""
        for note in notes:
            try:
                return _decode(note)
            except msgspec.DecodeError:
                continue
        return cls(0)

    @property
    def note(self) -> str:
        """What the commit carries."""
        return msgspec.json.encode(self).decode()


_decode: Final = msgspec.json.Decoder(Cleaned).decode
