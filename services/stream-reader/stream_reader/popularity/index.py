"""The popular profiles in memory: what the API answers from.

Scores are kept as they were computed and brought to the time of the question, all at once, in arrays: a question over
100,000 profiles takes some milliseconds.
"""

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_reader.popularity.facets import Facet, facet
from stream_reader.popularity.scores import CELL

_FIRST_ROOM: Final = 1024


class _Columns:
    """Arrays that grow together; rows are given out, and taken back."""

    def __init__(self, **types: type) -> None:
        self._arrays: dict[str, NDArray[Any]] = {name: np.zeros(_FIRST_ROOM, kind) for name, kind in types.items()}
        self._free: list[int] = []
        self.used = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One column, as far as it is used."""
        return self._arrays[name][: self.used]

    def add(self) -> int:
        """A row of its own."""
        if self._free:
            return self._free.pop()
        room = len(next(iter(self._arrays.values())))
        if self.used == room:
            self._arrays = {
                name: np.concatenate([array, np.zeros(room, array.dtype)]) for name, array in self._arrays.items()
            }
        self.used += 1
        return self.used - 1

    def set(self, row: int, **values: Any) -> None:
        """Fill a row."""
        for name, value in values.items():
            self._arrays[name][row] = value

    def give_back(self, row: int) -> None:
        """The row is free; what stands in it must say so."""
        self._free.append(row)


class Index:
    """Profiles by score and by name. Safe to use from any thread."""

    def __init__(self, half_life_s: float) -> None:
        self.half_life_s = half_life_s
        self._lock = threading.Lock()
        self._profiles = _Columns(score=np.float64, as_of=np.float64, posts=np.int64, followers=np.int64)
        self._cells = _Columns(owner=np.int64, posts=np.int64, score=np.float64, **dict.fromkeys(CELL, np.int64))
        self._names: list[str] = []
        self._rows: dict[str, int] = {}
        self._cells_of: list[list[int]] = []
        self._details: list[tuple[datetime | None, bytes]] = []
        self._codes: dict[str, dict[str | None, int]] = {name: {} for name in CELL}

    def __len__(self) -> int:
        return len(self._rows)

    def names(self) -> list[str]:
        """Whose profiles there are."""
        with self._lock:
            return list(self._rows)

    def put(self, profiles: Iterable[Mapping[str, Any]]) -> None:
        """Take in rows of ``stream/profile_popularity``; one without posts is forgotten."""
        with self._lock:
            for profile in profiles:
                self._forget(profile["poster_name"])
                if profile["posts"]:
                    self._add(profile)

    def popular(self, at: datetime, limit: int, only: Mapping[str, str]) -> list[dict[str, Any]]:
        """The highest scores first, equal ones by name. ``only`` (of ``CELL``) sums the matching posts alone."""
        with self._lock:
            score, posts = self._sums(only)
            decayed = score * np.exp2(-(at.timestamp() - self._profiles["as_of"]) / self.half_life_s)
            rows = np.flatnonzero(posts)
            if len(rows) > limit:
                lowest = np.partition(decayed[rows], len(rows) - limit)[len(rows) - limit]
                rows = rows[decayed[rows] >= lowest]
            ranked = sorted(rows.tolist(), key=lambda row: (-decayed[row], self._names[row]))[:limit]
            return [self._described(row, float(decayed[row]), int(posts[row])) for row in ranked]

    def facets(self, limit: int) -> dict[str, Facet]:
        """By key of ``CELL``, the values that most profiles have: ``limit`` of each at most."""
        with self._lock:
            used = self._cells["posts"] > 0
            owners = self._cells["owner"][used]
            codes = {key: (self._cells[key][used], dict(self._codes[key])) for key in CELL}
        return {key: facet(owners, of_cells, names, limit) for key, (of_cells, names) in codes.items()}

    def get(self, name: str, at: datetime) -> dict[str, Any] | None:
        """One profile with its recent posts; None where there is none of this name."""
        with self._lock:
            row = self._rows.get(name)
            if row is None:
                return None
            age_s = at.timestamp() - float(self._profiles["as_of"][row])
            score = float(self._profiles["score"][row] * np.exp2(-age_s / self.half_life_s))
            described = self._described(row, score, int(self._profiles["posts"][row]))
            return {**described, "recent_posts": msgspec.json.decode(self._details[row][1])}

    def _sums(self, only: Mapping[str, str]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Score and posts of each profile, of all posts or of the matching ones."""
        if not only:
            return self._profiles["score"], self._profiles["posts"]
        matching = self._cells["posts"] > 0
        for name, value in only.items():
            matching &= self._cells[name] == self._codes[name].get(value, -1)
        owners = self._cells["owner"][matching]
        size = self._profiles.used
        score = np.bincount(owners, self._cells["score"][matching], size)
        return score, np.bincount(owners, self._cells["posts"][matching], size)

    def _described(self, row: int, score: float, posts: int) -> dict[str, Any]:
        last = self._details[row][0]
        return {
            "poster_name": self._names[row],
            "score": score,
            "posts": posts,
            "follower_count": int(self._profiles["followers"][row]),
            "last_post_at": None if last is None else timestamp(last),
        }

    def _add(self, profile: Mapping[str, Any]) -> None:
        name, row = profile["poster_name"], self._profiles.add()
        if row == len(self._names):
            self._names.append("")
            self._cells_of.append([])
            self._details.append((None, b""))
        self._rows[name] = row
        self._names[row] = name
        self._profiles.set(
            row,
            score=profile["score"],
            as_of=profile["as_of"].timestamp(),
            posts=profile["posts"],
            followers=profile["follower_count"] or 0,
        )
        recent = [{**post, "first_arrival": timestamp(post["first_arrival"])} for post in profile["recent_posts"]]
        self._details[row] = (profile["last_post_at"], msgspec.json.encode(recent))
        for cell in profile["cells"]:
            place = self._cells.add()
            codes = {key: self._code(key, cell[key]) for key in CELL}
            self._cells.set(place, owner=row, posts=cell["posts"], score=cell["score"], **codes)
            self._cells_of[row].append(place)

    def _forget(self, name: str) -> None:
        row = self._rows.pop(name, None)
        if row is None:
            return
        for place in self._cells_of[row]:
            self._cells.set(place, posts=0)
            self._cells.give_back(place)
        self._cells_of[row] = []
        self._details[row] = (None, b"")
        self._profiles.set(row, posts=0)
        self._profiles.give_back(row)

    def _code(self, key: str, value: str | None) -> int:
        return self._codes[key].setdefault(value, len(self._codes[key]))


def timestamp(moment: datetime) -> str:
    """A point in time as the API writes it: UTC, milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
