"""A block: one thing that a page shows, with how far it can be believed. A source that fails makes no page fail.

States: *loading* (nothing was read yet), *empty* (read, and there is nothing: why, and the command that fills it),
*fresh*, *stale* (the last value, older than it should be, and why), *error* (never read: what is down).
"""

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from service_kit.clock import Clock

State = Literal["loading", "empty", "fresh", "stale", "error"]


@dataclass(frozen=True)
class Block[T]:
    """What a page shows of one thing.

    ``value`` is there when the state is fresh or stale. ``as_of``: when the value held, or when emptiness was seen.
    ``why``: one line, for people; ``fills``: the command that fills what is empty. Both may be empty.
    """

    state: State
    value: T | None = None
    as_of: datetime | None = None
    why: str = ""
    fills: str = ""

    @property
    def known(self) -> T:
        """The value of a fresh or stale block.

        Raises:
            ValueError: the block has none.
        """
        if self.value is None:
            raise ValueError(f"a block that is {self.state} has no value")
        return self.value


def loading[T]() -> Block[T]:
    """Nothing was read yet."""
    return Block("loading", why="The first look is under way")


def fresh[T](value: T, as_of: datetime) -> Block[T]:
    """A value that holds."""
    return Block("fresh", value, as_of)


def empty[T](as_of: datetime | None, why: str, fills: str = "") -> Block[T]:
    """It was looked, and there is nothing."""
    return Block("empty", None, as_of, why, fills)


def error[T](why: str) -> Block[T]:
    """It could not be read, and was not before."""
    return Block("error", why=why)


class Kept[T]:
    """The last thing that a source gave, as a block. Safe to use from any thread; nothing here waits.

    A value is stale when a newer look failed, or when no look succeeded for ``stale_after_s`` seconds.
    """

    def __init__(self, clock: Clock, stale_after_s: float) -> None:
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._lock = threading.Lock()
        self._block: Block[T] = loading()
        self._looked_at = clock.monotonic()
        self._trouble = ""

    def took(self, value: T, as_of: datetime | None = None) -> None:
        """A look succeeded. ``as_of``: now, unless the source says when its value held."""
        self._set(fresh(value, as_of or self._clock.now()))

    def nothing(self, why: str, fills: str = "") -> None:
        """A look succeeded, and there is nothing (any more)."""
        self._set(empty(self._clock.now(), why, fills))

    def failed(self, why: str) -> None:
        """A look failed; the last value is kept."""
        with self._lock:
            self._trouble = why

    def block(self) -> Block[T]:
        """As of now."""
        with self._lock:
            kept, trouble = self._block, self._trouble
            silent_s = self._clock.monotonic() - self._looked_at
        if not trouble and silent_s > self._stale_after_s:
            trouble = f"No look for {silent_s:.0f} s"
        if not trouble:
            return kept
        if kept.value is None:
            return error(trouble)
        return Block("stale", kept.value, kept.as_of, trouble)

    def _set(self, block: Block[T]) -> None:
        with self._lock:
            self._block, self._trouble, self._looked_at = block, "", self._clock.monotonic()
