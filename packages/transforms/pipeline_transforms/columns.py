"""The typed columns of each kind, and what can be wrong with them.

Columns between raw and cleaned ones begin with two underscores; ``__raw`` is the parsed record, all fields text.
"""

from typing import Final

from pipeline_contracts.events import KEY_FIELDS
from pipeline_contracts.names import Kind
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as fn

from pipeline_transforms import dates, numbers
from pipeline_transforms.text import text_or_null, trimmed

MAX_AGE: Final = 130
USER_ERROR: Final = "User Info Error"
SAVED: Final = "Local save in "
STORY: Final = "multi-video(story page format)"
NOTHING: Final[dict[str, tuple[str, ...]]] = {
    "unique_id": (),
    "title": ("No Title Data Available",),
    "description": ("No description available", "No description available Story format", "Untitled"),
    "poster_name": (USER_ERROR,),
    "tag_list": ("N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e",),
    "is_image_or_video": (),
    "image_src": ("Image src error", "Image src error."),
    "category": (),
}
"""Text columns of a pin, and what senders write into them for "nothing"."""


def field(name: str) -> Column:
    """A field of the record as text; null where it is missing or null."""
    return fn.col("__raw")[name]


def columns_of(kind: Kind, raw: DataFrame) -> DataFrame:
    """Every input column and, as ``__<name>``, the cleaned ones and those that ``faults_of`` looks at."""
    return {"pin": _pin_columns, "geo": _geo_columns, "user": _user_columns}[kind](raw)


def faults_of(kind: Kind) -> tuple[Column, Column, Column]:
    """Whether the record has an unreadable number, an unreadable date, a value out of its range."""
    return {"pin": _pin_faults, "geo": _geo_faults, "user": _user_faults}[kind]()


def _key() -> Column:
    """The first of ``index`` and ``ind`` that is a whole number from 0 to 2**31 - 1."""
    keys = [field(name).try_cast("int") for name in KEY_FIELDS]
    return fn.coalesce(*[fn.when(key >= 0, key) for key in keys]).alias("__ind")


def _pin_columns(raw: DataFrame) -> DataFrame:
    names = [*NOTHING, "follower_count", "save_location"]
    texts = raw.select("*", _key(), *[trimmed(field(name)).alias(f"__text_{name}") for name in names])
    saved, kind = fn.col("__text_save_location"), fn.col("__text_is_image_or_video")
    path = fn.when(saved.startswith(SAVED), trimmed(fn.substring(saved, len(SAVED) + 1, 2**31 - 1))).otherwise(saved)
    plain = {name: text_or_null(fn.col(f"__text_{name}"), nothing) for name, nothing in NOTHING.items()}
    plain["is_image_or_video"] = fn.when(kind == STORY, "video").otherwise(plain["is_image_or_video"])
    values = texts.select(
        "*",
        *[column.alias(f"__{name}") for name, column in plain.items()],
        path.alias("__path"),
        text_or_null(fn.col("__text_follower_count"), [USER_ERROR]).alias("__followers"),
    )
    read = values.select(
        "*",
        text_or_null(fn.col("__path")).alias("__save_location"),
        numbers.is_count(fn.col("__followers")).alias("__is_count"),
        numbers.count_digits(fn.col("__followers")).alias("__digits"),
        numbers.count_factor(fn.col("__followers")).alias("__factor"),
    )
    count = numbers.count(fn.col("__digits"), fn.col("__factor"))
    return read.select("*", fn.when(fn.col("__is_count"), count).alias("__follower_count"))


def _pin_faults() -> tuple[Column, Column, Column]:
    number = fn.col("__follower_count")
    out_of_range = fn.col("__is_count") & (number.isNull() | (number < 0))
    return ~fn.col("__is_count"), fn.lit(False), fn.coalesce(out_of_range, fn.lit(False))


def _geo_columns(raw: DataFrame) -> DataFrame:
    degrees = {
        name: fn.when(numbers.is_decimal(field(name)), field(name).try_cast("double"))
        for name in ("latitude", "longitude")
    }
    read = raw.select(
        "*",
        _key(),
        trimmed(field("country")).alias("__text_country"),
        *[column.alias(f"__{name}") for name, column in degrees.items()],
        _time("timestamp"),
    )
    latitude, longitude = fn.col("__latitude"), fn.col("__longitude")
    return read.select(
        "*",
        text_or_null(fn.col("__text_country")).alias("__country"),
        fn.when(latitude.isNotNull() & longitude.isNotNull(), fn.array(latitude, longitude)).alias("__coordinates"),
        fn.when(dates.in_calendar(fn.col("__time")), fn.col("__time")).alias("__timestamp"),
    )


def _geo_faults() -> tuple[Column, Column, Column]:
    latitude, longitude = fn.col("__latitude"), fn.col("__longitude")
    bad = (field("latitude").isNotNull() & latitude.isNull()) | (field("longitude").isNotNull() & longitude.isNull())
    out = [~latitude.between(-90, 90), ~longitude.between(-180, 180)]
    bad_date, far = _date_faults("timestamp")
    return bad, bad_date, far | fn.coalesce(out[0], fn.lit(False)) | fn.coalesce(out[1], fn.lit(False))


def _user_columns(raw: DataFrame) -> DataFrame:
    names = [trimmed(field(name)) for name in ("first_name", "last_name")]
    read = raw.select(
        "*",
        _key(),
        fn.concat_ws(" ", *names).alias("__both_names"),
        field("age").try_cast("int").alias("__age"),
        _time("date_joined"),
    )
    return read.select(
        "*",
        # One of the two may be missing or empty.
        text_or_null(trimmed(fn.col("__both_names"))).alias("__user_name"),
        fn.when(dates.in_calendar(fn.col("__time")), fn.col("__time")).alias("__date_joined"),
    )


def _user_faults() -> tuple[Column, Column, Column]:
    age, raw = fn.col("__age"), field("age")
    unread = raw.isNotNull() & age.isNull()
    bad_date, far = _date_faults("date_joined")
    out = (unread & numbers.is_whole(raw)) | fn.coalesce(~age.between(0, MAX_AGE), fn.lit(False))
    return unread & ~numbers.is_whole(raw), bad_date, out | far


def _time(name: str) -> Column:
    return fn.when(dates.has_date_form(field(name)), dates.timestamp(field(name))).alias("__time")


def _date_faults(name: str) -> tuple[Column, Column]:
    """Present but unreadable; readable but outside the years 1 to 2100."""
    raw = field(name)
    unused = raw.isNotNull() & fn.col(f"__{name}").isNull()
    far = unused & (fn.col("__time").isNotNull() | dates.has_far_form(raw))
    return unused & ~far, far
