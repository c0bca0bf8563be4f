"""The rules of cleaning, one line a rule. All cases of a kind go through one query."""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pipeline_contracts.lake import REASONS
from pipeline_contracts.names import KINDS, Kind
from pipeline_transforms.cleaning import clean
from pipeline_transforms.schemas import CLEANED
from pipeline_transforms.text import WHITE_SPACE
from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
PIN: dict[str, Any] = {
    "index": 7,
    "unique_id": "b7f6d1ce-0000-4000-8000-000000000007",
    "title": "A title",
    "description": "A description",
    "poster_name": "Somebody",
    "follower_count": "124k",
    "tag_list": "a,b",
    "is_image_or_video": "image",
    "image_src": "https://i.example/7.jpg",
    "downloaded": 1,
    "save_location": "Local save in /data/art",
    "category": "art",
}
GEO: dict[str, Any] = {
    "ind": 7,
    "timestamp": "2020-08-28 03:52:47",
    "latitude": -82.9272,
    "longitude": 15.5,
    "country": "Chad",
}
USER: dict[str, Any] = {
    "ind": 7,
    "first_name": "Ada",
    "last_name": "Ray",
    "age": 36,
    "date_joined": "2016-02-29 23:59:59",
}
BASE: dict[Kind, dict[str, Any]] = {"pin": PIN, "geo": GEO, "user": USER}
NOON = datetime(2020, 8, 28, 3, 52, 47)  # noqa: DTZ001

# kind, fields instead of the base record's ("-" = without it), expected columns or reason
RULES: list[tuple[Kind, dict[str, Any], Mapping[str, Any] | str | None]] = [
    ("pin", {}, {"ind": 7, "follower_count": 124_000, "title": "A title"}),
    # keys
    ("pin", {"index": "-"}, "bad_key"),
    ("pin", {"index": "-", "ind": 9}, {"ind": 9}),
    ("pin", {"index": None}, "bad_key"),
    ("pin", {"index": "x"}, "bad_key"),
    ("pin", {"index": 12.0}, "bad_key"),
    ("pin", {"index": True}, "bad_key"),
    ("pin", {"index": -1}, "bad_key"),
    ("pin", {"index": 2**31}, "bad_key"),
    ("pin", {"index": 10**40}, "bad_key"),
    ("pin", {"index": 2**31 - 1}, {"ind": 2**31 - 1}),
    ("pin", {"index": 0}, {"ind": 0}),
    ("pin", {"index": "12"}, {"ind": 12}),
    ("pin", {"index": [1]}, "bad_key"),
    ("geo", {"ind": "-", "index": 9}, {"ind": 9}),
    ("user", {"ind": "-", "index": 9}, {"ind": 9}),
    # kinds
    ("user", {"first_name": "-", "unique_id": "a"}, "wrong_kind"),
    ("pin", {"unique_id": "-", "latitude": 1.0}, "wrong_kind"),
    ("geo", {"latitude": "-", "first_name": "A"}, "wrong_kind"),
    ("geo", {"latitude": None, "longitude": None}, {"coordinates": None, "country": "Chad"}),
    ("geo", {name: "-" for name in GEO if name != "ind"}, "wrong_kind"),
    ("pin", {"latitude": 1.0}, {"ind": 7}),
    ("user", {"first_name": "-", "unique_id": "a", "ind": "x"}, "wrong_kind"),
    # followers
    ("pin", {"follower_count": "500"}, {"follower_count": 500}),
    ("pin", {"follower_count": 500}, {"follower_count": 500}),
    ("pin", {"follower_count": "0"}, {"follower_count": 0}),
    ("pin", {"follower_count": "5M"}, {"follower_count": 5_000_000}),
    ("pin", {"follower_count": "5m"}, {"follower_count": 5_000_000}),
    ("pin", {"follower_count": "3K"}, {"follower_count": 3_000}),
    ("pin", {"follower_count": "1.2k"}, {"follower_count": 1_200}),
    ("pin", {"follower_count": "1.2345k"}, {"follower_count": 1_235}),
    ("pin", {"follower_count": " 1.25M\u00a0"}, {"follower_count": 1_250_000}),
    ("pin", {"follower_count": "User Info Error"}, {"follower_count": None}),
    ("pin", {"follower_count": "\tUser Info Error "}, {"follower_count": None}),
    ("pin", {"follower_count": ""}, {"follower_count": None}),
    ("pin", {"follower_count": "-"}, {"follower_count": None}),
    ("pin", {"follower_count": "many"}, "bad_number"),
    ("pin", {"follower_count": "1,200"}, "bad_number"),
    ("pin", {"follower_count": "5 k"}, "bad_number"),
    ("pin", {"follower_count": "5kM"}, "bad_number"),
    ("pin", {"follower_count": "k"}, "bad_number"),
    ("pin", {"follower_count": ".5k"}, "bad_number"),
    ("pin", {"follower_count": "٣k"}, "bad_number"),
    ("pin", {"follower_count": {"n": 1}}, "bad_number"),
    ("pin", {"follower_count": "-5"}, "out_of_range"),
    ("pin", {"follower_count": "-0.1k"}, "out_of_range"),
    ("pin", {"follower_count": "9223372036854775807"}, {"follower_count": 2**63 - 1}),
    ("pin", {"follower_count": "9223372036854775808"}, "out_of_range"),
    ("pin", {"follower_count": "9223372036854775k"}, {"follower_count": 9223372036854775000}),
    ("pin", {"follower_count": "9" * 300 + "M"}, "out_of_range"),
    # text that says nothing
    ("pin", {"poster_name": "User Info Error"}, {"poster_name": None}),
    ("pin", {"title": "No Title Data Available"}, {"title": None}),
    ("pin", {"title": "User Info Error"}, {"title": "User Info Error"}),
    ("pin", {"description": "No description available"}, {"description": None}),
    ("pin", {"description": "No description available Story format"}, {"description": None}),
    ("pin", {"description": "Untitled"}, {"description": None}),
    ("pin", {"description": "untitled"}, {"description": "untitled"}),
    ("pin", {"tag_list": "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e"}, {"tag_list": None}),
    ("pin", {"image_src": "Image src error"}, {"image_src": None}),
    ("pin", {"image_src": "Image src error."}, {"image_src": None}),
    ("pin", {"is_image_or_video": "multi-video(story page format)"}, {"is_image_or_video": "video"}),
    ("pin", {"is_image_or_video": "image"}, {"is_image_or_video": "image"}),
    ("pin", {"save_location": "Local save in /data/mens-fashion"}, {"save_location": "/data/mens-fashion"}),
    ("pin", {"save_location": "/data/art"}, {"save_location": "/data/art"}),
    ("pin", {"save_location": "Local save in  "}, {"save_location": "Local save in"}),
    ("pin", {"category": ""}, {"category": None}),
    ("pin", {"category": None}, {"category": None}),
    ("pin", {"title": 5}, {"title": "5"}),
    ("pin", {"title": {"a": [1]}}, {"title": '{"a":[1]}'}),
    ("pin", {"title": " \u00a0two  words\u2003\n"}, {"title": "two  words"}),
    ("pin", {"title": "🎄\ufe0f día 👩\u200d🚀"}, {"title": "🎄\ufe0f día 👩\u200d🚀"}),
    ("pin", {"title": "\u200bx\ufeff"}, {"title": "\u200bx\ufeff"}),
    *[("pin", {"title": f"{space}a{space}b{space}"}, {"title": f"a{space}b"}) for space in WHITE_SPACE],
    ("pin", {"description": WHITE_SPACE}, {"description": None}),
    ("geo", {"country": "\u00a0Chad\r\n"}, {"country": "Chad"}),
    # coordinates
    ("geo", {}, {"coordinates": [-82.9272, 15.5], "timestamp": NOON}),
    ("geo", {"latitude": 90, "longitude": -180}, {"coordinates": [90.0, -180.0]}),
    ("geo", {"latitude": "12.5"}, {"coordinates": [12.5, 15.5]}),
    ("geo", {"longitude": "-"}, {"coordinates": None}),
    ("geo", {"latitude": 90.0001}, "out_of_range"),
    ("geo", {"longitude": -180.5}, "out_of_range"),
    ("geo", {"latitude": "1e999"}, "out_of_range"),
    ("geo", {"latitude": "NaN"}, "bad_number"),
    ("geo", {"latitude": "Infinity"}, "bad_number"),
    ("geo", {"latitude": "1d"}, "bad_number"),
    ("geo", {"latitude": "0x1p3"}, "bad_number"),
    ("geo", {"latitude": ""}, "bad_number"),
    ("geo", {"longitude": "north"}, "bad_number"),
    ("geo", {"latitude": [1]}, "bad_number"),
    # dates
    ("geo", {"timestamp": "2020-08-28T03:52:47"}, {"timestamp": NOON}),
    ("geo", {"timestamp": "2020:08:28 03:52:47"}, {"timestamp": NOON}),
    ("geo", {"timestamp": "2020-08-28T03:52:47Z"}, {"timestamp": NOON}),
    ("geo", {"timestamp": "2020-08-28 05:52:47+02:00"}, {"timestamp": NOON}),
    ("geo", {"timestamp": "2020:08:28 09:22:47+0530"}, {"timestamp": NOON}),
    ("geo", {"timestamp": "2020-08-27T22:52:47-05"}, {"timestamp": NOON}),
    ("geo", {"timestamp": "2020-08-28 03:52:47.5"}, {"timestamp": NOON.replace(microsecond=500_000)}),
    ("geo", {"timestamp": "2020-08-28T03:52:47.123456789Z"}, {"timestamp": NOON.replace(microsecond=123_456)}),
    ("geo", {"timestamp": None}, {"timestamp": None}),
    ("geo", {"timestamp": "2100-12-31 23:59:59"}, {"timestamp": datetime(2100, 12, 31, 23, 59, 59)}),  # noqa: DTZ001
    ("geo", {"timestamp": "2101-01-01 00:00:00"}, "out_of_range"),
    ("geo", {"timestamp": "2100-12-31 23:59:59-01:00"}, "out_of_range"),
    ("geo", {"timestamp": "12020-08-28 03:52:47"}, "out_of_range"),
    ("geo", {"timestamp": "-2020-08-28 03:52:47"}, "out_of_range"),
    ("geo", {"timestamp": "0000-01-01 00:00:00"}, "out_of_range"),
    ("geo", {"timestamp": "2020-08-28"}, "bad_date"),
    ("geo", {"timestamp": "2020-02-30 00:00:00"}, "bad_date"),
    ("geo", {"timestamp": "2020-13-01 00:00:00"}, "bad_date"),
    ("geo", {"timestamp": "2020-08-28 24:00:00"}, "bad_date"),
    ("geo", {"timestamp": "2020-08-28 03:52:47 Europe/Paris"}, "bad_date"),
    ("geo", {"timestamp": "2020-08-28 03:52:47+99:00"}, "bad_date"),
    ("geo", {"timestamp": "2020:08:28T03:52:47"}, "bad_date"),
    ("geo", {"timestamp": "28/08/2020 03:52:47"}, "bad_date"),
    ("geo", {"timestamp": 1598586767}, "bad_date"),
    ("geo", {"timestamp": ""}, "bad_date"),
    ("geo", {"timestamp": "T03:52:47"}, "bad_date"),
    # users
    ("user", {}, {"user_name": "Ada Ray", "age": 36, "date_joined": datetime(2016, 2, 29, 23, 59, 59)}),  # noqa: DTZ001
    ("user", {"first_name": " Ada ", "last_name": "\u00a0Ray"}, {"user_name": "Ada Ray"}),
    ("user", {"last_name": None}, {"user_name": "Ada"}),
    ("user", {"last_name": " "}, {"user_name": "Ada"}),
    ("user", {"first_name": ""}, {"user_name": "Ray"}),
    ("user", {"first_name": "", "last_name": ""}, {"user_name": None}),
    ("user", {"age": 0}, {"age": 0}),
    ("user", {"age": 130}, {"age": 130}),
    ("user", {"age": "-"}, {"age": None}),
    ("user", {"age": 131}, "out_of_range"),
    ("user", {"age": -1}, "out_of_range"),
    ("user", {"age": 10**30}, "out_of_range"),
    ("user", {"age": 36.5}, "bad_number"),
    ("user", {"age": 36.0}, "bad_number"),
    ("user", {"age": 1e300}, "bad_number"),
    ("user", {"age": "old"}, "bad_number"),
    ("user", {"age": ""}, "bad_number"),
    ("user", {"date_joined": "long ago"}, "bad_date"),
    # several faults: the first in the order of the reasons
    ("user", {"age": "old", "date_joined": "long ago"}, "bad_number"),
    ("user", {"age": 200, "date_joined": "long ago"}, "bad_date"),
    ("user", {"age": 200, "ind": "x"}, "bad_key"),
]

# text of a record, expected reason
TEXTS: list[tuple[str | None, str | None]] = [
    (None, "not_object"),
    ("null", "not_object"),
    ("5", "not_object"),
    ('"text"', "not_object"),
    ("[]", "not_object"),
    ('[{"ind":7,"latitude":1}]', "not_object"),
    ("", "not_json"),
    ("  ", "not_json"),
    ("xyz", "not_json"),
    ("{", "not_json"),
    ('{"ind":7', "not_json"),
    ('{"ind":7,"latitude":1} xyz', "not_json"),
    ('{"ind":7,"latitude":1}}', "not_json"),
    ('{"ind":7,"latitude":1}{"ind":8}', "not_json"),
    ('{"ind":7,"latitude":1},"__seal":"1"} x', "not_json"),
    ('{"ind":7,"latitude":1,}', "not_json"),
    ('{"ind":7 "latitude":1}', "not_json"),
    ('{"ind":07,"latitude":1}', "not_json"),
    ('{"ind":7,"latitude":NaN}', "not_json"),
    ("{'ind':7}", "not_json"),
    ('{ind:7,"latitude":1}', "not_json"),
    ('{"ind":7,"country":"a\tb"}', "not_json"),
    ('{"ind":7,"country":tru}', "not_json"),
    ('{"ind":7,"latitude":1,"country":"\\x"}', "not_json"),
    ('\ufeff{"ind":7,"latitude":1}', "not_json"),
    ("[1,}", "not_json"),
    ("[1] x", "not_json"),
    ("nul", "not_json"),
    ("{}", "wrong_kind"),
    ('{"ind":7}', "wrong_kind"),
    (' {"ind":7,"latitude":1}\n', None),
    ('{"ind":8,"ind":7,"latitude":1}', None),
    ('{"ind":7,"latitude":1,"country":"\\ud800"}', "not_json"),
    ('{"ind":7,"latitude":1,"country":"a\\uDC00"}', "not_json"),
    ('{"ind":7,"latitude":1,"country":"\\\\\\ud83d\\u0041"}', "not_json"),
    ('{"ind":7,"latitude":1,"x":{"\\ud83d\\ude00\\ude00":1}}', "not_json"),
    ('"\\ud83d"', "not_json"),
    ('{"ind":7,"latitude":1,"country":"\\ud83d\\ude00\\uD83D\\uDE00"}', None),
    ('{"ind":7,"latitude":1,"country":"\\\\ud83d \\\\\\\\udc00"}', None),
    ('{"ind":7,"latitude":1,"x":' + "1" * 5000 + "}", None),
    ('{"ind":7,"latitude":1,"x":' + "[" * 900 + "]" * 900 + "}", None),
    ('{"ind":7,"latitude":1e999}', "bad_number"),
    ('{"__seal":"0","v":1,"ind":7,"latitude":1}', None),
]


def cleaned(spark: SparkSession, kind: Kind, values: Sequence[str | None]) -> list[dict[str, Any]]:
    rows = spark.createDataFrame(list(enumerate(values)), "offset long, value string")
    result = clean(rows, kind)
    assert result.columns == ["offset", "value", *CLEANED[kind].names, "unknown_fields", "reason"]
    assert [field.dataType for field in result.schema if field.name in CLEANED[kind].names] == [
        field.dataType for field in CLEANED[kind]
    ]
    return [row.asDict() for row in sorted(result.collect(), key=lambda row: int(row["offset"]))]


@pytest.fixture(scope="module")
def by_rule(spark: SparkSession) -> list[dict[str, Any]]:
    """One cleaned row per line of RULES."""
    found: dict[int, dict[str, Any]] = {}
    for kind in KINDS:
        numbers = [number for number, rule in enumerate(RULES) if rule[0] == kind]
        found |= dict(zip(numbers, cleaned(spark, kind, [text_of(*RULES[n][:2]) for n in numbers]), strict=True))
    return [found[number] for number in range(len(RULES))]


def text_of(kind: Kind, overrides: dict[str, Any]) -> str:
    row = {key: value for key, value in {**BASE[kind], **overrides}.items() if value != "-"}
    return json.dumps(row, ensure_ascii=False)


@pytest.mark.parametrize("number", range(len(RULES)), ids=lambda n: f"{RULES[n][0]}-{RULES[n][1]!r:.60}")
def test_rule(by_rule: list[dict[str, Any]], number: int) -> None:
    row, expected = by_rule[number], RULES[number][2]
    if isinstance(expected, str):
        assert row["reason"] == expected
    else:
        assert expected is not None
        assert {"reason": row["reason"], **{name: row[name] for name in expected}} == {"reason": None, **expected}


def test_text_that_is_no_record(spark: SparkSession) -> None:
    rows = cleaned(spark, "geo", [text for text, _ in TEXTS])
    found = [(text, row["reason"]) for (text, _), row in zip(TEXTS, rows, strict=True)]
    assert found == TEXTS


def test_deep_nesting_is_not_json(spark: SparkSession) -> None:
    deep = '{"ind":7,"latitude":1,"x":' + "[" * 100_000 + "]" * 100_000 + "}"
    assert cleaned(spark, "geo", [deep])[0]["reason"] == "not_json"


def test_the_last_of_two_equal_names_counts(spark: SparkSession) -> None:
    assert cleaned(spark, "geo", ['{"ind":8,"latitude":1,"ind":7}'])[0]["ind"] == 7


def test_unknown_fields_are_counted(spark: SparkSession) -> None:
    known, two, other_key = GEO, {**GEO, "x": 1, "y": None}, {**GEO, "index": 7}
    rows = cleaned(spark, "geo", [json.dumps(row) for row in (known, two, other_key)] + ["[]"])
    assert [row["unknown_fields"] for row in rows] == [0, 2, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_contracts_example_is_good(spark: SparkSession, kind: Kind) -> None:
    row = cleaned(spark, kind, [(EXAMPLES / f"{kind}.json").read_text()])[0]
    assert (row["reason"], row["unknown_fields"]) == (None, 0)


NASTY = [
    *'{}[]",:\\ \t\n\x00-+.eE019kM\u00a0\u2028🎄\ufeff',
    "null",
    "NaN",
    "1e999",
    "\\ud800",
    "\\u0000",
    "Z",
    "12020-",
]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_raises_and_json_is_told_from_the_rest(spark: SparkSession, kind: Kind) -> None:
    chance = random.Random(7)
    values: list[str | None] = []
    for _ in range(1500):
        text = list(text_of(kind, {}))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(text))
            text[place : place + chance.choice([0, 0, 1, 5])] = chance.choice(NASTY)
        values.append("".join(text))
    for name in BASE[kind]:
        values += [text_of(kind, {name: nasty * chance.choice([1, 3, 50])}) for nasty in NASTY]
    for value, row in zip(values, cleaned(spark, kind, values), strict=True):
        assert row["reason"] in {None, *REASONS}
        assert (row["reason"] == "not_json") == (not is_json(str(value))), value


def is_json(text: str) -> bool:
    """As proxy and sink do."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True
