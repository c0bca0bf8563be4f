"""How numbers, times and ages are written, on pages and in ``/api/v1/live`` alike."""

from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup, escape
from service_kit.inert import visible

NONE: Final = "–"
"""Stands where there is no value."""
_DAY_S: Final = 86_400


def inert(value: object) -> object:
    """Jinja's ``finalize``: all that a page shows of data is text whose every character can be seen."""
    if value is None:
        return ""
    if isinstance(value, int | float) or hasattr(value, "__html__"):
        return value
    return visible(str(value))


def lines(text: str) -> Markup:
    """Text of several lines, for ``<pre>``: as ``inert``, but line breaks and tabs stay."""
    return escape(visible(text, keep="\n\t"))


def number(value: float | None) -> str:
    """A count or quantity, thousands apart: ``12,345``. Not for years and numbers that name something."""
    if value is None:
        return NONE
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.1f}"


def rate(per_second: float | None) -> str:
    """How many a second, without a unit; small ones with a digit behind the point."""
    if per_second is None:
        return NONE
    if per_second == 0 or per_second >= 9.95:
        return f"{per_second:,.0f}"
    return f"{max(per_second, 0.1):.1f}"


def age(seconds: float | None) -> str:
    """A length of time in two units at most: ``0.4 s``, ``12 s``, ``3 min``, ``2 h 5 min``, ``4 d 3 h``."""
    if seconds is None:
        return NONE
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s" if seconds >= 0.05 else "0 s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if seconds < 2 * _DAY_S:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, hours = divmod(round(seconds / 3_600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def moment(at: datetime | None, now: datetime) -> str:
    """When, in UTC; the day is left out where it is today's."""
    if at is None:
        return NONE
    at = _utc(at)
    return at.strftime("%H:%M:%S UTC" if at.date() == _utc(now).date() else "%Y-%m-%d %H:%M UTC")


def exact(at: datetime) -> str:
    """When, in UTC to the millisecond, with its day."""
    return _utc(at).strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03d} UTC"


def shortened(text: str, most: int = 24) -> str:
    """The beginning and the end of what is longer than ``most`` characters, such as a sequence number."""
    return text if len(text) <= most else f"{text[:6]}…{text[-10:]}"


def iso(at: datetime) -> str:
    """When, for programs: ISO 8601 in UTC with milliseconds and ``Z``."""
    return _utc(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _utc(at: datetime) -> datetime:
    """Within a day of the ends of time the zone is left out: some moment there is shown, and no page fails."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return at.replace(tzinfo=UTC)
