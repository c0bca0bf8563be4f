"""The age groups, for columns and for single numbers."""

from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as fn

_YOUNGER_THAN: Final = {18: "under 18", 25: "18-24", 36: "25-35", 51: "36-50"}
_OLDEST: Final = "+50"
AGE_GROUPS: Final = (*_YOUNGER_THAN.values(), _OLDEST)


def age_group(age: Column) -> Column:
    """The group of an age; one of ``AGE_GROUPS``, null where it is not known."""
    group = fn.when(age.isNull(), fn.lit(None).cast("string"))
    for limit, name in _YOUNGER_THAN.items():
        group = group.when(age < limit, name)
    return group.otherwise(_OLDEST)


def age_group_of(age: int | None) -> str | None:
    """The group of one age."""
    if age is None:
        return None
    return next((name for limit, name in _YOUNGER_THAN.items() if age < limit), _OLDEST)
