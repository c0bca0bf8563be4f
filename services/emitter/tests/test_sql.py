import datetime
import tracemalloc
from collections import Counter
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
import sqlalchemy as sa
from emitter.errors import SourceError
from emitter.rows import Rejection, Row, examine
from emitter.sources.choose import open_source
from emitter.sources.source import Taken
from emitter.sources.sql import SqlSource
from emitter.sources.sql_values import as_json
from hypothesis import given, settings
from hypothesis import strategies as st

EAST = datetime.timezone(datetime.timedelta(hours=5))


def database(at: Path, geo: list[tuple[object, ...]] | None = None) -> str:
    url = f"sqlite:///{at / 'posts.db'}"
    engine = sa.create_engine(url)
    metadata = sa.MetaData()
    pin = sa.Table(
        "pinterest_data",
        metadata,
        sa.Column("index", sa.Integer),
        sa.Column("title", sa.Text),
        sa.Column("downloaded", sa.Integer),
    )
    places = sa.Table(
        "geolocation_data",
        metadata,
        sa.Column("ind", sa.Integer),
        sa.Column("timestamp", sa.DateTime),
        sa.Column("latitude", sa.Numeric(9, 4)),
        sa.Column("country", sa.Text),
    )
    user = sa.Table("user_data", metadata, sa.Column("ind", sa.Integer), sa.Column("date_joined", sa.Date))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            pin.insert(),
            [{"index": 2, "title": "Zoë 😍\n", "downloaded": 1}, {"index": 1, "title": None, "downloaded": 0}],
        )
        for ind, day in ((5, datetime.date(2017, 1, 2)),):
            connection.execute(user.insert(), {"ind": ind, "date_joined": day})
        for row in geo or [
            (3, datetime.datetime.fromisoformat("2020-08-28 03:52:47"), Decimal("-82.9272"), "Cote d'Ivoire")
        ]:
            connection.execute(
                places.insert(), dict(zip(("ind", "timestamp", "latitude", "country"), row, strict=True))
            )
    engine.dispose()
    return url


def many(keys: list[int | None]) -> list[tuple[object, ...]]:
    return [(key, None, None, f"country {number}") for number, key in enumerate(keys)]


def geo_rows(source: SqlSource, taken: Taken) -> list[Row]:
    return [row for row in source.rows(taken) if row.kind == "geo"]


def place(row: Row) -> str:
    return row.position.partition("@")[0]


def test_rows_look_as_on_the_wire(tmp_path: Path) -> None:
    source = open_source(database(tmp_path), 0)
    assert [(row.kind, place(row), row.value.decode()) for row in source.rows(Taken())] == [
        ("pin", "1#1", '{"index":1,"title":null,"downloaded":0}'),
        ("geo", "3#1", '{"ind":3,"timestamp":"2020-08-28 03:52:47","latitude":-82.9272,"country":"Cote d\'Ivoire"}'),
        ("user", "5#1", '{"ind":5,"date_joined":"2017-01-02 00:00:00"}'),
        ("pin", "2#1", '{"index":2,"title":"Zoë 😍\\n","downloaded":1}'),
    ]
    source.close()


@pytest.mark.parametrize("page_rows", [1, 2, 3, 4, 100])
def test_no_row_is_lost_at_the_edge_of_a_page(tmp_path: Path, page_rows: int) -> None:
    keys = [9, 1, 1, 1, 1, None, 2, 3, 3, 7, 7, 7, None, 9]
    source = SqlSource(database(tmp_path, many(keys)), page_rows)
    rows = [row for row in source.rows(Taken()) if row.kind == "geo"]
    assert sorted(row.value for row in rows) == sorted(
        (b'{"ind":%b,"timestamp":null,"latitude":null,"country":"country %d"}' % (str(key or "null").encode(), number))
        for number, key in enumerate(keys)
    )
    assert [place(row) for row in rows] == [
        *("#1", "#2", "1#1", "1#2", "1#3", "1#4", "2#1", "3#1", "3#2", "7#1", "7#2", "7#3", "9#1", "9#2")
    ]
    assert isinstance(examine(rows[0]), Rejection), "a row without a key is named, not passed over"


@pytest.mark.parametrize("page_rows", [1, 3, 100])
def test_goes_on_where_it_was_left(tmp_path: Path, page_rows: int) -> None:
    source = SqlSource(database(tmp_path, many([4, 1, 1, None, 1, 2, None])), page_rows)
    rows: list[Row] = list(source.rows(Taken()))
    for after in range(len(rows) + 1):
        assert list(source.rows(Taken().after(rows[:after]))) == rows[after:]


def test_positions_of_earlier_versions_are_gone_on_from(tmp_path: Path) -> None:
    source = SqlSource(database(tmp_path, many([4, 1, 1, None, 1, 2, None])))
    rows = list(source.rows(Taken()))
    for after in range(len(rows) + 1):
        taken = Taken().after(rows[:after])
        old = msgspec.structs.replace(
            taken, positions={kind: text.partition("@")[0] for kind, text in taken.positions.items()}
        )
        assert list(source.rows(old)) == rows[after:]


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 5), st.integers(0, 3)), max_size=12),
    st.integers(0, 20),
    st.none() | st.integers(0, 5),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_a_table_that_changed_behind_a_run_is_said_or_read(
    rows: list[tuple[int | None, int]], stop: int, key: int | None, deleted: bool
) -> None:
    """Whatever is inserted or deleted while a run is interrupted: no row is missed without a word, none sent twice."""
    with TemporaryDirectory() as folder:
        url = database(Path(folder), [(ind, None, None, f"country {number}") for ind, number in rows] or many([0]))
        source = SqlSource(url, 3)
        before = geo_rows(source, Taken())
        sent = before[:stop]
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            new = "NULL" if key is None else str(key)
            statement = f"INSERT INTO geolocation_data (ind, country) VALUES ({new}, 'b new')"
            first = "SELECT min(rowid) FROM geolocation_data"
            connection.exec_driver_sql(
                f"DELETE FROM geolocation_data WHERE rowid = ({first})" if deleted else statement
            )
        engine.dispose()
        now = Counter(row.value for row in geo_rows(source, Taken()))
        try:
            rest = geo_rows(source, Taken().after(sent))
        except SourceError as error:
            refused = str(error)
            assert "has gained or lost rows before the place where the run stopped" in refused
            assert sent
        else:
            gone_through = Counter(row.value for row in (*sent, *rest))
            assert not now - gone_through, "missed"
            assert not gone_through - (now | Counter(row.value for row in before)), "sent twice"
        finally:
            source.close()


def test_rows_of_one_key_are_not_held_in_memory(tmp_path: Path) -> None:
    large: list[tuple[object, ...]] = [(None, None, None, "x" * 1000 + str(number)) for number in range(10_000)]
    source = SqlSource(database(tmp_path, large))
    tracemalloc.start()
    try:
        assert sum(row.kind == "geo" for row in source.rows(Taken())) == len(large)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_text_that_is_not_utf_8_is_one_bad_row(tmp_path: Path) -> None:
    url = database(tmp_path, many([1, 2]))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE geolocation_data SET country = CAST(x'22ff0a5c' AS TEXT) WHERE ind = 1")
    engine.dispose()
    bad, good = [row for row in SqlSource(url).rows(Taken()) if row.kind == "geo"]
    found = examine(bad)
    assert isinstance(found, Rejection)
    assert b"\\u0022\xff\\u000a\\u005c" in bad.value
    assert not isinstance(examine(good), Rejection)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=5))),
            '"0001-01-01 00:00:00+05:00"',
        ),
        (float("nan"), '"nan"'),
        (float("-inf"), '"-inf"'),
        (1.5, "1.5"),
    ],
)
def test_values_at_the_edge(value: object, text: str) -> None:
    assert as_json(["a"], [value]) == b'{"a":%b}' % text.encode()


@pytest.mark.parametrize(
    "url",
    [
        "mysql+pymysql://someone:p@ssw0rd@127.0.0.1:1/db",
        "mysql+pymysql://someone:p@ss/w0rd@127.0.0.1:1/db",
    ],
)
def test_a_password_that_would_be_taken_for_a_host_is_in_no_message(url: str) -> None:
    with pytest.raises(SourceError, match="write %40 for @") as raised:
        SqlSource(url)
    assert "w0rd" not in str(raised.value)
    assert "ss" not in str(raised.value).replace("password", "")


def test_clear_errors_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no table pinterest_data; the source needs"):
        SqlSource(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(SourceError, match="no driver for nosuch"):
        SqlSource("nosuch://host/database")
    with pytest.raises(SourceError, match="no database URL"):
        SqlSource("mysql+pymysql://host:port/database")
    with pytest.raises(SourceError, match="cannot open") as raised:
        SqlSource("mysql+pymysql://me:s3cret@127.0.0.1:1/posts?ssl_key=private")
    assert "s3cret" not in str(raised.value)
    assert "private" not in str(raised.value)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE pinterest_data (id INTEGER)")
    with pytest.raises(SourceError, match="no column index or ind"):
        SqlSource(f"sqlite:///{tmp_path / 'other.db'}")


def test_identity_holds_no_secret(tmp_path: Path) -> None:
    url = database(tmp_path)
    assert SqlSource(f"{url}?timeout=5").identity == SqlSource(url).identity == f"sql:{url}"
