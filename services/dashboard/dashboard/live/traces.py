"""The line beside each path: what went down it in the last five minutes."""

from dataclasses import dataclass
from typing import Final

from dashboard import words
from dashboard.live.nodes import FLOWS
from dashboard.live.poller import Poller

WIDTH: Final = 180
HEIGHT: Final = 28
_LEAST: Final = 1.0
"""A line that is never higher than this a second is drawn low: noise looks like noise."""


@dataclass(frozen=True)
class Trace:
    """``points`` of an SVG polyline, in a box of ``WIDTH`` by ``HEIGHT``, and of the ``area`` below it.

    ``most``: the highest rate, in words.
    """

    points: str
    area: str
    most: str


def traces(poller: Poller) -> dict[str, Trace]:
    """Of each path; without points and words where nothing is known yet. Gaps are bridged by a straight line."""
    return {path: _trace(_rates(poller, path)) for path in FLOWS}


def _rates(poller: Poller, path: str) -> list[float | None]:
    watched = poller.watched.get(FLOWS[path].service)
    return [] if watched is None else watched.history(FLOWS[path].name)


def _trace(rates: list[float | None]) -> Trace:
    known = [(place, rate) for place, rate in enumerate(rates) if rate is not None]
    if len(known) < 2:
        return Trace("", "", "")
    most = max(rate for _, rate in known)
    across, up = WIDTH / (len(rates) - 1), (HEIGHT - 2) / max(most, _LEAST)
    points = " ".join(f"{place * across:.1f},{HEIGHT - 1 - rate * up:.1f}" for place, rate in known)
    first, last = known[0][0] * across, known[-1][0] * across
    area = f"{first:.1f},{HEIGHT - 1} {points} {last:.1f},{HEIGHT - 1}"
    return Trace(points, area, f"up to {words.rate(most)}/s in 5 min")
