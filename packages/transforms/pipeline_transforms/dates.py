"""Points in time out of text. Nothing here raises: a text that cannot be read gives null."""

from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as fn

_REST: Final = (
    r"(-[0-9]{2}-[0-9]{2}[T ]|:[0-9]{2}:[0-9]{2} )[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?$"
)
_FORM: Final = "^[0-9]{4}" + _REST
_FAR_FORM: Final = "^(-[0-9]{4,9}|[0-9]{5,9})" + _REST


def has_date_form(text: Column) -> Column:
    """Whether the text is written in one of the three forms, with optional fraction and offset."""
    return text.rlike(_FORM)


def has_far_form(text: Column) -> Column:
    """The same with a year that is negative or has more than four digits."""
    return text.rlike(_FAR_FORM)


def timestamp(text: Column) -> Column:
    """The point in time, UTC where no offset is written, cut to microseconds; null where there is no such date.

    The text must satisfy ``has_date_form``.
    """
    dashed = fn.concat_ws("-", fn.substring(text, 1, 4), fn.substring(text, 6, 2), fn.substring(text, 9, 100))
    return fn.when(fn.substring(text, 5, 1) == ":", dashed).otherwise(text).try_cast("timestamp")


def in_calendar(time: Column) -> Column:
    """Whether a point in time lies in the years 1 to 2100, UTC."""
    return time.between(fn.lit("0001-01-01 00:00:00Z").cast("timestamp"), fn.lit(_LAST).cast("timestamp"))


_LAST: Final = "2100-12-31 23:59:59.999999Z"
