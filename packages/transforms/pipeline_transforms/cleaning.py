"""One record's JSON text to typed columns, or to the reason why it cannot be.

The whole record is parsed once, every field as text, so that nothing is lost to a type before a rule has seen it.
Every cast is a ``try_cast``: in ANSI mode, too, no input makes a query fail.
"""

from typing import Final

from pipeline_contracts.events import EVENT_TYPES, KEY_FIELDS, KIND_FIELD
from pipeline_contracts.names import Kind
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as fn
from pyspark.sql.types import StringType, StructField, StructType

from pipeline_transforms.columns import columns_of, faults_of, field
from pipeline_transforms.schemas import CLEANED, COORDINATE, KNOWN_FIELDS, raw_schema

_CORRUPT: Final = "__corrupt"
_SEAL: Final = "__seal"
_FIRST_HALF: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_SECOND_HALF: Final = r"\\u[dD][c-fC-F]"
_HALF: Final = rf"(?<!\\)(\\\\)*({_FIRST_HALF}(?!{_SECOND_HALF})|(?<!{_FIRST_HALF}){_SECOND_HALF})"
_PARSER: Final = {
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
    "maxNumLen": "1048576",
    "columnNameOfCorruptRecord": _CORRUPT,
}


def clean(records: DataFrame, kind: Kind) -> DataFrame:
    """Every input row with its columns, the cleaned columns, ``unknown_fields`` and ``reason``.

    ``records`` has the record's JSON text in ``value`` (null for a tombstone). ``reason`` is null for a good row,
    else a ``pipeline_contracts.lake.Reason``; what stands in the cleaned columns of such a row is not defined.
    ``unknown_fields`` costs a second look at the text, unless the caller leaves it out (Spark prunes it).
    """
    # One select per step: an expression that is used twice in a later one must be a column of an earlier one,
    # or Spark computes it twice (and, over several levels, many times).
    kept = [fn.col(name) for name in records.columns]
    parsed = records.select(*kept, _parse(fn.col("value"), kind).alias("__parsed"))
    raw = parsed.select(*kept, fn.col("__parsed.v").alias("__raw"), _parsed_fully(fn.col("__parsed")).alias("__whole"))
    values = columns_of(kind, raw)
    return values.select(
        *kept,
        *[fn.col(f"__{name}").alias(name) for name in CLEANED[kind].names],
        _unknown_fields(kind).alias("unknown_fields"),
        _reason(kind).alias("reason"),
    )


def good_rows(cleaned: DataFrame, kind: Kind) -> DataFrame:
    """The rows that can be read: cleaned columns, then coordinate and content hash. What ``current_rows`` takes."""
    return cleaned.where(fn.col("reason").isNull()).select(*CLEANED[kind].names, *COORDINATE.names)


# --- parsing ---------------------------------------------------------------------------------------------------


def _parse(value: Column, kind: Kind) -> Column:
    """Parse ``{"v":<the record>,"__seal":"<its hash>"}``.

    Spark's parser stops at the end of the first value and so takes ``{"a":1} xyz`` for good. Behind the seal
    nothing can hide: a record that is more than one JSON value breaks the envelope. It holds the record's own hash,
    so that a record cannot bring its seal with it.
    """
    schema = StructType(
        [
            StructField("v", raw_schema(kind)),
            StructField(_SEAL, StringType()),
            StructField(_CORRUPT, StringType()),
        ]
    )
    return fn.from_json(_sealed(value), schema, _PARSER)


def _sealed(value: Column) -> Column:
    return fn.concat(fn.lit('{"v":'), value, fn.lit(f',"{_SEAL}":"'), _seal(value), fn.lit('"}'))


def _seal(value: Column) -> Column:
    return fn.xxhash64(value).cast("string")


def _is_json(parsed: Column) -> Column:
    """Whether the record was parsed to its end without a fault."""
    return (parsed[_SEAL] == _seal(fn.col("value"))) & parsed[_CORRUPT].isNull() & ~_has_half_a_character()


def _has_half_a_character() -> Column:
    """Whether an escape in the text is half a pair: Spark takes it; proxy, sink and emitter do not."""
    value = fn.col("value")
    return fn.when(value.contains(r"\ud") | value.contains(r"\uD"), value.rlike(_HALF)).otherwise(False)


def _parsed_fully(parsed: Column) -> Column:
    return fn.coalesce(_is_json(parsed) & parsed["v"].isNotNull(), fn.lit(False))


def _not_a_json_object() -> Column:
    """``not_json`` or ``not_object``, for a record that did not parse to an object."""
    schema = StructType([StructField(name, StringType()) for name in ("v", _SEAL, _CORRUPT)])
    parsed = fn.from_json(_sealed(fn.col("value")), schema, _PARSER)
    return fn.when(fn.col("value").isNull() | _is_json(parsed), "not_object").otherwise("not_json")


def _reason(kind: Kind) -> Column:
    bad_number, bad_date, out_of_range = faults_of(kind)
    return (
        fn.when(~fn.col("__whole"), _not_a_json_object())
        .when(_is_other_kind(kind), "wrong_kind")
        .when(fn.col("__ind").isNull(), "bad_key")
        .when(bad_number, "bad_number")
        .when(bad_date, "bad_date")
        .when(out_of_range, "out_of_range")
    )


def _is_other_kind(kind: Kind) -> Column:
    """Another kind's telling field stands in the record and its own does not, or no field of its own kind does."""
    others = [field for other, field in KIND_FIELD.items() if other != kind]
    own = [name for name in EVENT_TYPES[kind].__struct_fields__ if name not in KEY_FIELDS]
    told_other = fn.coalesce(*[field(name) for name in others]).isNotNull()
    return field(KIND_FIELD[kind]).isNull() & (told_other | fn.coalesce(*[field(name) for name in own]).isNull())


def _unknown_fields(kind: Kind) -> Column:
    known = fn.array(*[fn.lit(name) for name in KNOWN_FIELDS[kind]])
    return fn.when(fn.col("__whole"), fn.size(fn.array_except(fn.json_object_keys(fn.col("value")), known))).otherwise(
        0
    )
