"""The pictures of the newest answers, drawn when a run ends and kept until the next."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from markupsafe import Markup
from service_kit.clock import Clock

from dashboard.blocks import Kept
from dashboard.charts.draw import DrawingError
from dashboard.charts.specs import NARROW, WIDE, Chart, chart
from dashboard.charts.svg import UnsafeSvgError, checked
from dashboard.lake.answers import Answers

logger = logging.getLogger(__name__)

_AGAIN_S: Final = 60.0
_WIDTHS: Final = {"wide": WIDE, "narrow": NARROW}


class Draws(Protocol):
    """What makes SVG of Vega-Lite."""

    def draw(self, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """SVG by name; raises ``DrawingError``."""


@dataclass(frozen=True)
class Picture:
    """A chart as markup for wide and narrow pages, and which part of its answer it shows."""

    wide: Markup
    narrow: Markup
    note: str


@dataclass(frozen=True)
class _Drawn:
    """What was made of one run's answers."""

    run_id: str
    pictures: Mapping[str, Picture]
    trouble: str = ""


class Pictures:
    """``look`` is one thread's; ``of`` and ``trouble`` are for any, and wait for nothing."""

    def __init__(self, answers: Kept[Answers], drawer: Draws, clock: Clock) -> None:
        self._answers = answers
        self._drawer = drawer
        self._clock = clock
        self._drawn: _Drawn | None = None
        self._failed_at: float | None = None

    def of(self, run_id: str, answer: str) -> Picture | None:
        """The picture of one answer of this run, once it is drawn."""
        drawn = self._drawn
        return None if drawn is None or drawn.run_id != run_id else drawn.pictures.get(answer)

    def trouble(self, run_id: str) -> str:
        """Why pictures of this run are missing; empty while they are being drawn, and where none is missing."""
        drawn = self._drawn
        return "" if drawn is None or drawn.run_id != run_id else drawn.trouble

    def look(self) -> None:
        """Draw the newest answers, unless they are drawn; blocks meanwhile. After a failure again, a minute later."""
        answers = self._answers.block().value
        if answers is None:
            return
        drawn = self._drawn
        if drawn is not None and drawn.run_id == answers.run.run_id:
            recent = self._failed_at is None or self._clock.monotonic() - self._failed_at < _AGAIN_S
            if not drawn.trouble or recent:
                return
        self._drawn = self._made(answers)
        self._failed_at = self._clock.monotonic() if self._drawn.trouble else None

    def _made(self, answers: Answers) -> _Drawn:
        run_id = answers.run.run_id
        charts = {name: found for name, answer in answers.tables.items() if (found := chart(answer)) is not None}
        specs = {f"{name}-{size}": made.of(width) for name, made in charts.items() for size, width in _WIDTHS.items()}
        try:
            svgs = self._drawer.draw(specs) if specs else {}
        except DrawingError as error:
            logger.warning("charts cannot be drawn", extra={"run_id": run_id, "reason": str(error)})
            return _Drawn(run_id, {}, str(error))
        pictures = {}
        trouble = ""
        for name, made in charts.items():
            try:
                pictures[name] = _picture(svgs, name, made)
            except (UnsafeSvgError, KeyError) as error:
                trouble = "some charts cannot be drawn"
                logger.error("a chart cannot be shown", extra={"chart": name, "reason": str(error)})  # noqa: TRY400
        return _Drawn(run_id, pictures, trouble)


def _picture(svgs: Mapping[str, str], name: str, made: Chart) -> Picture:
    wide, narrow = (
        # Rebuilt from known elements and attributes: nothing in it can run or load.
        Markup(checked(svgs[f"{name}-{size}"], f"{size}-{name}".replace("_", "-"), made.label))  # noqa: S704
        for size in _WIDTHS
    )
    return Picture(wide, narrow, made.note)
