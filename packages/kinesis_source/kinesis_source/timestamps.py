"""Points in time as the option ``initialPosition`` gives them: Databricks' JSON form, and plain numbers."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DEFAULT_FORMAT = "MM/dd/yyyy HH:mm:ss ZZZ"
"""The format of Databricks' own example, ``06/25/2020 10:23:45 PDT``."""

_FIRST_MILLISECONDS = 100_000_000_000
"""A number from here on is milliseconds: as seconds it would be in the year 5138."""

_FIELDS = {
    "yyyy": r"(?P<year>\d{4})",
    "MM": r"(?P<month>\d{1,2})",
    "dd": r"(?P<day>\d{1,2})",
    "HH": r"(?P<hour>\d{1,2})",
    "mm": r"(?P<minute>\d{1,2})",
    "ss": r"(?P<second>\d{1,2})",
    "SSS": r"(?P<milli>\d{3})",
}
_ZONE = r"(?P<zone>[A-Za-z][A-Za-z0-9/_+-]*|[+-]\d{2}:?\d{2})"
_HOURS = {
    "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "CET": 1, "CEST": 2, "BST": 1,
}  # fmt: skip
"""Abbreviations have no standard; these are what they mean to Java in the places that use them most."""


def epoch_ms(value: str | float, java_format: str | None = None) -> int:
    """Milliseconds since 1970 of a number (seconds or milliseconds) or of a text in ``java_format``.

    Without a format the text is in ``DEFAULT_FORMAT`` or ISO 8601. A time without a zone is UTC.

    Raises:
        ValueError: it is none of these; the message says what was expected.
    """
    if not isinstance(value, str):
        return _number(value)
    if java_format is not None:
        return _milliseconds(_parsed(value, java_format))
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return _number(float(value))
    try:
        return _milliseconds(datetime.fromisoformat(value))
    except ValueError:
        return _milliseconds(_parsed(value, DEFAULT_FORMAT))


def _number(value: float) -> int:
    if value < 0:
        raise ValueError(f"{value} is before 1970")
    return round(value if value >= _FIRST_MILLISECONDS else value * 1000)


def _milliseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def _parsed(text: str, java_format: str) -> datetime:
    found = re.fullmatch(_pattern(java_format), text.strip())
    if found is None:
        raise ValueError(f"{text!r} does not have the format {java_format!r}")
    part = found.groupdict()
    return datetime(
        int(part["year"]),
        int(part.get("month") or 1),
        int(part.get("day") or 1),
        int(part.get("hour") or 0),
        int(part.get("minute") or 0),
        int(part.get("second") or 0),
        int(part.get("milli") or 0) * 1000,
        tzinfo=_zone(part.get("zone") or "UTC"),
    )


def _pattern(java_format: str) -> str:
    """A regular expression for the letters of Java's formats that make sense here; others are an error."""
    pattern, position = "", 0
    for match in re.finditer(r"'([^']*)'|(([A-Za-z])\3*)|([^A-Za-z'])", java_format):
        position = match.end()
        if match[2] is None:
            pattern += re.escape(match[1] if match[1] is not None else match[4])
        elif match[2] in _FIELDS:
            pattern += _FIELDS[match[2]]
        elif match[3] in "zZXxVO":
            pattern += _ZONE
        else:
            raise ValueError(f"{match[2]!r} in the format {java_format!r} is not supported")
    if position != len(java_format) or "(?P<year>" not in pattern:
        raise ValueError(f"the format {java_format!r} cannot be used: it needs a year, and closed quotes")
    return pattern


def _zone(name: str) -> tzinfo:
    if name in _HOURS:
        return timezone(timedelta(hours=_HOURS[name]))
    if name[0] in "+-":
        hours, minutes = int(name[1:3]), int(name[-2:])
        return timezone((-1 if name[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"unknown time zone {name!r}; use an offset such as +0200") from error
