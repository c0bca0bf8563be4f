"""Who is popular, as pages show it: one answer a filter kept for a moment, and who moved since about a minute ago."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from service_kit.clock import Clock

from dashboard.blocks import Block, empty, error, fresh
from dashboard.live.looks import NoAnswerError
from dashboard.remote.profiles import Facets, OneProfile, Only, Popular, Profile, Profiles

KEPT: Final = 64
FRESH_S: Final = 1.0
FACETS_FRESH_S: Final = 10.0
_AGAIN_S: Final = 2.0
"""After a failure nobody asks for so long, so that views do not wait for a service that is down."""
_LOOK_S: Final = 60.0
EMPTY: Final = "Nobody has posted on the stream path"
NO_MATCH: Final = "No profile has posts that match"
FILLS: Final = "pipeline send --events 3000 --path both"


@dataclass(frozen=True)
class Ranked:
    """A profile and its rank, from 1. ``was``: its rank in the order of ``Ranking.since``; None: not among those."""

    rank: int
    was: int | None
    profile: Profile


@dataclass(frozen=True)
class Ranking:
    """Profiles in order. ``since``: when the order was looked at with which the ranks are compared; None: not before.

    ``from_table``: the stream reader does not answer, and this is what its table says.
    """

    ranked: tuple[Ranked, ...]
    half_life_s: float | None
    since: datetime | None
    from_table: bool = False


@dataclass
class _Looks:
    """Two orders: a younger one, which becomes the one to compare with once it is ``_LOOK_S`` old."""

    then: tuple[datetime, dict[str, int]] | None = None
    next: tuple[datetime, dict[str, int]] | None = None

    def compared(self, found: Popular, at: datetime) -> tuple[datetime | None, dict[str, int]]:
        """The order to compare with; this one is remembered."""
        order = {profile.poster_name: rank for rank, profile in enumerate(found.profiles, 1)}
        before = self.then or self.next
        if self.next is not None and at < self.next[0]:
            self.then = self.next = before = None  # the clock was set back
        if self.next is None or (at - self.next[0]).total_seconds() >= _LOOK_S:
            before = self.next or before
            self.then, self.next = self.next, (at, order)
        return (None, {}) if before is None else before


@dataclass
class _Kept[T]:
    """The last answer to one question, and the last that was the service's. Whoever holds ``lock`` asks."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    looks: _Looks = field(default_factory=_Looks)
    block: Block[T] | None = None
    said: Block[T] | None = None
    again_at: float = 0.0


class Popularity:
    """Asks the stream reader, and its table where that does not answer. Safe to use from any thread.

    A view waits only for an answer that nobody has yet, for about a second at most.
    """

    def __init__(self, service: Profiles, table: Profiles | None, clock: Clock) -> None:
        self._service = service
        self._table = table
        self._clock = clock
        self._lock = threading.Lock()
        self._popular: OrderedDict[Hashable, _Kept[Ranking]] = OrderedDict()
        self._profiles: OrderedDict[Hashable, _Kept[OneProfile]] = OrderedDict()
        self._facets: OrderedDict[Hashable, _Kept[Facets]] = OrderedDict()

    def popular(self, only: Only) -> Block[Ranking]:
        """The most popular profiles with this filter."""
        kept = self._of(self._popular, only)

        def from_service() -> Block[Ranking]:
            found = self._service.popular(only)
            if not found.profiles:
                return empty(found.as_of, NO_MATCH if only.given() else EMPTY, "" if only.given() else FILLS)
            since, order = kept.looks.compared(found, self._clock.now())
            return fresh(_ranking(found, since, order), found.as_of)

        def from_table(table: Profiles, why: str) -> Block[Ranking]:
            found = table.popular(only)
            return Block("stale", _ranking(found, None, {}, from_table=True), found.as_of, why)

        return self._answer(kept, FRESH_S, from_service, from_table)

    def profile(self, name: str) -> Block[OneProfile]:
        """One profile; empty where there is none of this name."""
        nobody: Block[OneProfile] = empty(self._clock.now(), "There is no profile of this name")

        def from_service() -> Block[OneProfile]:
            found = self._service.profile(name)
            return nobody if found is None else fresh(found, found.as_of)

        def from_table(table: Profiles, why: str) -> Block[OneProfile]:
            found = table.profile(name)
            if found is None:
                raise NoAnswerError("the table does not have it")
            return Block("stale", found, found.as_of, why)

        return self._answer(self._of(self._profiles, name), FRESH_S, from_service, from_table)

    def facets(self) -> Block[Facets]:
        """What can be filtered by."""

        def from_service() -> Block[Facets]:
            found = self._service.facets()
            return fresh(found, found.as_of)

        return self._answer(self._of(self._facets, ""), FACETS_FRESH_S, from_service, None)

    def _of[T](self, all_kept: OrderedDict[Hashable, _Kept[T]], asked: Hashable) -> _Kept[T]:
        with self._lock:
            kept = all_kept.setdefault(asked, _Kept())
            all_kept.move_to_end(asked)
            while len(all_kept) > KEPT:
                all_kept.popitem(last=False)
            return kept

    def _answer[T](
        self,
        kept: _Kept[T],
        fresh_s: float,
        from_service: Callable[[], Block[T]],
        from_table: Callable[[Profiles, str], Block[T]] | None,
    ) -> Block[T]:
        block = kept.block
        if block is not None and self._clock.monotonic() < kept.again_at:
            return block
        if not kept.lock.acquire(blocking=block is None) and block is not None:
            return block  # somebody else asks
        try:
            if kept.block is not None and self._clock.monotonic() < kept.again_at:
                return kept.block
            try:
                kept.block = kept.said = from_service()
                pause_s = fresh_s
            except NoAnswerError as problem:
                kept.block = self._otherwise(kept.said, f"the stream reader: {problem}", from_table)
                pause_s = _AGAIN_S
            kept.again_at = self._clock.monotonic() + pause_s
            return kept.block
        finally:
            kept.lock.release()

    def _otherwise[T](
        self, said: Block[T] | None, why: str, from_table: Callable[[Profiles, str], Block[T]] | None
    ) -> Block[T]:
        """What the service said last; else what the table says."""
        if said is not None and said.value is not None:
            return Block("stale", said.value, said.as_of, why)
        if from_table is not None and self._table is not None:
            try:
                return from_table(self._table, f"{why}; this is what its table in the lake says")
            except NoAnswerError as problem:
                return error(f"{why}; {problem}")
        return error(why)


def _ranking(found: Popular, since: datetime | None, order: dict[str, int], *, from_table: bool = False) -> Ranking:
    ranked = tuple(
        Ranked(rank, order.get(profile.poster_name), profile) for rank, profile in enumerate(found.profiles, 1)
    )
    return Ranking(ranked, found.half_life_s, since, from_table)
