"""The columns of raw, cleaned and current rows."""

from typing import Final

from pipeline_contracts.events import EVENT_TYPES, KEY_FIELDS, KIND_FIELD
from pipeline_contracts.names import KINDS, Kind
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)


def columns(**types: DataType) -> StructType:
    """A schema of these columns, in this order, all of them nullable."""
    return StructType([StructField(name, data_type) for name, data_type in types.items()])


CLEANED: Final[dict[Kind, StructType]] = {
    "pin": columns(
        ind=IntegerType(),
        unique_id=StringType(),
        title=StringType(),
        description=StringType(),
        follower_count=LongType(),
        poster_name=StringType(),
        tag_list=StringType(),
        is_image_or_video=StringType(),
        image_src=StringType(),
        save_location=StringType(),
        category=StringType(),
    ),
    "geo": columns(
        ind=IntegerType(), country=StringType(), coordinates=ArrayType(DoubleType()), timestamp=TimestampType()
    ),
    "user": columns(ind=IntegerType(), user_name=StringType(), age=IntegerType(), date_joined=TimestampType()),
}
"""What cleaning makes of one record, in the order of the tables."""

COORDINATE: Final = columns(
    log_id=StringType(),
    partition=IntegerType(),
    offset=LongType(),
    recorded_at=TimestampType(),
    content_hash=StringType(),
)
"""Where a record is stored and what it holds. A stream's rows have text as partition and offset."""

KNOWN_FIELDS: Final[dict[Kind, tuple[str, ...]]] = {
    kind: tuple(dict.fromkeys((*KEY_FIELDS, *EVENT_TYPES[kind].__struct_fields__))) for kind in KINDS
}
"""The fields of a kind's records; a record's other fields are counted as unknown."""


def raw_schema(kind: Kind) -> StructType:
    """Every field that cleaning looks at, all as text, so that numbers keep the digits that were sent."""
    names = dict.fromkeys((*KNOWN_FIELDS[kind], *KIND_FIELD.values()))
    return StructType([StructField(name, StringType()) for name in names])


def current_schema(kind: Kind) -> StructType:
    """One current row per key: cleaned columns, coordinate of the content's first record, the other contents."""
    row = StructType([*CLEANED[kind].fields, *COORDINATE.fields])
    return StructType([*row.fields, StructField("superseded", ArrayType(row))])
