"""The three events of a post, as they travel (``docs/wire.md``, Events).

The models are for writers and for tests. Readers of stored records do not trust them: they take every
record as text and clean it (``pipeline_transforms``), because anything can have been posted.
"""

from typing import Any

import msgspec

from pipeline_contracts.names import Kind

KEY_FIELDS: tuple[str, str] = ("index", "ind")
"""A record's key: ``index`` in pins, ``ind`` elsewhere; some senders write ``index`` everywhere."""

KIND_FIELD: dict[Kind, str] = {"pin": "unique_id", "geo": "latitude", "user": "first_name"}
"""The field that tells a kind from the other two."""

MAX_KEY = 2**31 - 1
MAX_RECORD_BYTES = 1_000_000
"""The largest value the pipeline carries: Kafka's and Kinesis' default limits are 1 MiB, headers included."""


class Pin(msgspec.Struct, frozen=True):
    """A pinned picture or video."""

    index: int
    unique_id: str
    title: str | None
    description: str | None
    poster_name: str | None
    follower_count: str | None
    tag_list: str | None
    is_image_or_video: str | None
    image_src: str | None
    downloaded: int
    save_location: str | None
    category: str | None


class Geo(msgspec.Struct, frozen=True):
    """Where and when it was pinned. ``timestamp`` is ``YYYY-MM-DD HH:MM:SS``, UTC."""

    ind: int
    timestamp: str
    latitude: float
    longitude: float
    country: str


class User(msgspec.Struct, frozen=True):
    """Who pinned it. ``date_joined`` is ``YYYY-MM-DD HH:MM:SS``, UTC."""

    ind: int
    first_name: str
    last_name: str
    age: int
    date_joined: str


EVENT_TYPES: dict[Kind, type[Pin] | type[Geo] | type[User]] = {"pin": Pin, "geo": Geo, "user": User}


def record_key(row: dict[str, Any]) -> str | None:
    """The key of a row as Kafka and Kinesis carry it (bare digits), or None where the row has none.

    A key is a JSON integer from 0 to 2**31 - 1; a float, a bool or a text is not.
    """
    for field in KEY_FIELDS:
        value = row.get(field)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_KEY:
            return str(value)
    return None
