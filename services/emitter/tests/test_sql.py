import datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from emitter.errors import SourceError
from emitter.rows import Rejection, Row, examine
from emitter.sources.choose import open_source
from emitter.sources.source import Taken
from emitter.sources.sql import SqlSource


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


def test_rows_look_as_on_the_wire(tmp_path: Path) -> None:
    source = open_source(database(tmp_path), 0)
    assert [(row.kind, row.position, row.value.decode()) for row in source.rows(Taken())] == [
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
    assert [row.position for row in rows] == [
        *("#1", "#2", "1#1", "1#2", "1#3", "1#4", "2#1", "3#1", "3#2", "7#1", "7#2", "7#3", "9#1", "9#2")
    ]
    assert isinstance(examine(rows[0]), Rejection), "a row without a key is named, not passed over"


@pytest.mark.parametrize("page_rows", [1, 3, 100])
def test_goes_on_where_it_was_left(tmp_path: Path, page_rows: int) -> None:
    source = SqlSource(database(tmp_path, many([4, 1, 1, None, 1, 2, None])), page_rows)
    rows: list[Row] = list(source.rows(Taken()))
    for after in range(len(rows) + 1):
        assert list(source.rows(Taken().after(rows[:after]))) == rows[after:]


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
