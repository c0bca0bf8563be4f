"""Profiles from the table ``stream/profile_popularity``: what still holds while the stream reader does not answer."""

# ruff: noqa: S608  (values enter the queries by `literal` alone)

from datetime import UTC, datetime
from typing import Any, Final

from pipeline_contracts.lake import POPULARITY
from service_kit.clock import Clock

from dashboard.lake.reader import At, LakeError, LakeReader
from dashboard.lake.sql import literal
from dashboard.live.looks import NoAnswerError
from dashboard.remote.profiles import MOST, Facets, OneProfile, Only, Popular, Post, Profile

ASSUMED_HALF_LIFE_S: Final = 3_600.0
"""The stream reader's default; the table does not say which one its scores have."""
_DEADLINE_S: Final = 2.0
_TOLD: Final = "poster_name, follower_count, last_post_at, as_of"


class ProfilesTable:
    """``Profiles`` as of the table's last commit; scores are brought to the present."""

    def __init__(self, reader: LakeReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def popular(self, only: Only) -> Popular:
        """As ``Profiles``. ``as_of`` is the newest profile's."""
        given = only.given()
        rows = f"SELECT {_TOLD}, score, posts FROM p WHERE posts > 0"
        if given:
            matching = " AND ".join(f"c['{name}'] = {literal(value)}" for name, value in given.items())
            rows = (
                f"SELECT {_TOLD}, sum(c['score']) AS score, sum(c['posts']) AS posts "
                f"FROM (SELECT {_TOLD}, unnest(cells) AS c FROM p WHERE posts > 0) WHERE {matching} GROUP BY {_TOLD}"
            )
        now = self._clock.now()
        seconds = literal(int(now.timestamp()))
        decayed = f"score * power(2.0, (date_part('epoch', as_of) - {seconds}) / {ASSUMED_HALF_LIFE_S})"
        sql = f"SELECT {_TOLD}, posts, {decayed} AS score FROM ({rows}) ORDER BY score DESC, poster_name LIMIT {MOST}"
        found = self._rows(sql, MOST)
        newest = max((row["as_of"] for row in found), default=now)
        return Popular(newest, tuple(_profile(row) for row in found))

    def profile(self, name: str) -> OneProfile | None:
        """As ``Profiles``; the score is that of ``as_of``."""
        sql = f"SELECT {_TOLD}, posts, score, recent_posts FROM p WHERE poster_name = {literal(name)} AND posts > 0"
        for row in self._rows(sql, 1):
            posts = tuple(Post(**post) for post in row["recent_posts"] or ())
            told = _profile(row)
            return OneProfile(
                row["as_of"], told.poster_name, told.score, told.posts, told.follower_count, posts, told.last_post_at
            )
        return None

    def facets(self) -> Facets:
        """Not from here: it would read every cell of every profile.

        Raises:
            NoAnswerError: always.
        """
        raise NoAnswerError("the table does not tell what can be filtered by")

    def _rows(self, sql: str, most: int) -> list[dict[str, Any]]:
        try:
            return self._reader.rows(sql, {"p": At(POPULARITY)}, most=most, deadline_s=_DEADLINE_S)
        except LakeError as error:
            raise NoAnswerError(str(error)) from error


def _profile(row: dict[str, Any]) -> Profile:
    last: datetime | None = row["last_post_at"]
    return Profile(
        row["poster_name"],
        float(row["score"]),
        int(row["posts"]),
        row["follower_count"] or 0,
        None if last is None else last.astimezone(UTC),
    )
