"""Numbers out of text. Nothing here raises: a text that cannot be read gives null."""

from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as fn

_WHOLE: Final = r"^[+-]?[0-9]+$"
_DECIMAL: Final = r"^[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?$"
_COUNT: Final = r"^-?[0-9]+(\.[0-9]+)?[kKmM]?$"


def is_whole(text: Column) -> Column:
    """Whether the text is a whole number, however long."""
    return text.rlike(_WHOLE)


def is_decimal(text: Column) -> Column:
    """Whether the text is a number as JSON writes them; Java would also read ``1d``, ``0x1p3`` and ``NaN``."""
    return text.rlike(_DECIMAL)


def is_count(text: Column) -> Column:
    """Whether the text is digits, optional decimals, optional ``k`` or ``M`` (a minus sign makes it out of range)."""
    return text.rlike(_COUNT)


def count_digits(text: Column) -> Column:
    """The text without ``k`` or ``M`` behind it."""
    return fn.rtrim(text, fn.lit("kKmM"))


def count_factor(text: Column) -> Column:
    """What ``k`` or ``M`` behind the digits stands for, else 1."""
    thousands = text.endswith("k") | text.endswith("K")
    return fn.when(thousands, 1_000).when(text.endswith("M") | text.endswith("m"), 1_000_000).otherwise(1)


def count(digits: Column, factor: Column) -> Column:
    """Their product as long, rounded half up; null where it does not fit. Only where ``is_count`` holds.

    Decimals are rare: whole numbers are spared the detour, and the exception inside a cast that fails.
    """
    decimals = fn.try_multiply(digits.try_cast("decimal(30,9)"), factor.cast("decimal(7,0)"))
    whole = fn.try_multiply(digits.try_cast("bigint"), factor.cast("bigint"))
    return fn.when(digits.contains("."), fn.round(decimals, 0).try_cast("bigint")).otherwise(whole)
