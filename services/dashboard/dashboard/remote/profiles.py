"""The stream reader's answers about profiles: who is popular, one profile, what can be filtered by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final, Protocol
from urllib.parse import urlencode

import msgspec

from dashboard.live.looks import NoAnswerError
from dashboard.live.scrape import ask

FILTERS: Final = ("category", "country", "age_group")
MOST: Final = 100
"""Profiles in one answer."""
_WITHIN_S: Final = 1.0
_BYTES: Final = 4 * 1024 * 1024
_FACETS: Final = 300

_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Profile(msgspec.Struct, frozen=True):
    """One profile, as of the answer it came in."""

    poster_name: str
    score: float
    posts: _Whole
    follower_count: _Whole
    last_post_at: _Moment | None = None


class Popular(msgspec.Struct, frozen=True):
    """The highest scores first. A post's weight halves each ``half_life_s`` seconds; None: it is not known."""

    as_of: _Moment
    profiles: tuple[Profile, ...]
    half_life_s: float | None = None


class Post(msgspec.Struct, frozen=True):
    """A post of a profile."""

    ind: _Whole
    title: str | None = None
    category: str | None = None
    country: str | None = None
    age_group: str | None = None
    follower_count: _Whole | None = None
    first_arrival: _Moment | None = None


class OneProfile(msgspec.Struct, frozen=True):
    """A profile with its newest posts, the newest first."""

    as_of: _Moment
    poster_name: str
    score: float
    posts: _Whole
    follower_count: _Whole
    recent_posts: tuple[Post, ...]
    last_post_at: _Moment | None = None
    half_life_s: float | None = None


class FacetValue(msgspec.Struct, frozen=True):
    """A value, and how many profiles have posts with it; None: posts without one."""

    value: str | None
    profiles: _Whole


class Facet(msgspec.Struct, frozen=True):
    """Values of one filter, those of most profiles first; so many more are left out."""

    values: tuple[FacetValue, ...]
    left_out: _Whole


class Facets(msgspec.Struct, frozen=True):
    """What profiles can be filtered by."""

    as_of: _Moment
    profiles: _Whole
    facets: Mapping[str, Facet]


@dataclass(frozen=True)
class Only:
    """A filter: profiles by their posts that match; None matches all."""

    category: str | None = None
    country: str | None = None
    age_group: str | None = None

    def given(self) -> dict[str, str]:
        """What is not None."""
        of = {"category": self.category, "country": self.country, "age_group": self.age_group}
        return {name: value for name, value in of.items() if value is not None}


class Profiles(Protocol):
    """Where profiles come from. Each method blocks for about a second at most.

    Raises:
        NoAnswerError: from every method: no answer, or not one that can be understood.
    """

    def popular(self, only: Only) -> Popular:
        """The ``MOST`` most popular."""

    def profile(self, name: str) -> OneProfile | None:
        """One; None: there is none of this name."""

    def facets(self) -> Facets:
        """What can be filtered by."""


@dataclass(frozen=True)
class NotAsked:
    """``Profiles`` where no address is set, or the service is left out."""

    why: str

    def popular(self, only: Only) -> Popular:  # noqa: ARG002  # the interface's
        """As ``Profiles``."""
        raise NoAnswerError(self.why)

    def profile(self, name: str) -> OneProfile | None:  # noqa: ARG002  # the interface's
        """As ``Profiles``."""
        raise NoAnswerError(self.why)

    def facets(self) -> Facets:
        """As ``Profiles``."""
        raise NoAnswerError(self.why)


@dataclass(frozen=True)
class StreamReader:
    """The service: ``Profiles`` over HTTP."""

    url: str

    def popular(self, only: Only) -> Popular:
        """As ``Profiles``."""
        body = self._get("/v1/profiles/popular", {"limit": str(MOST), **only.given()})
        if body is None:
            raise NoAnswerError("it has no popular profiles")
        return _read(_popular, body)

    def profile(self, name: str) -> OneProfile | None:
        """As ``Profiles``."""
        body = self._get("/v1/profiles", {"name": name})
        return None if body is None else _read(_profile, body)

    def facets(self) -> Facets:
        """As ``Profiles``."""
        body = self._get("/v1/facets", {"limit": str(_FACETS)})
        if body is None:
            raise NoAnswerError("its version has no facets")
        return _read(_facets, body)

    def _get(self, path: str, query: Mapping[str, str]) -> bytes | None:
        """The body; None for 404."""
        status, body = ask(f"{self.url}{path}?{urlencode(query)}", _WITHIN_S, _BYTES)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise NoAnswerError(f"it answers {status}")
        return body


def _read[T](decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NoAnswerError("its answer is not of the documented form") from error


_popular: Final = msgspec.json.Decoder(Popular).decode
_profile: Final = msgspec.json.Decoder(OneProfile).decode
_facets: Final = msgspec.json.Decoder(Facets).decode
