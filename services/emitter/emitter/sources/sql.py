"""Rows from the original's three tables, in any database that SQLAlchemy has a driver for."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import groupby
from typing import Final

import msgspec
import sqlalchemy as sa
from pipeline_contracts.events import KEY_FIELDS
from pipeline_contracts.names import KINDS, Kind

from emitter.errors import SourceError
from emitter.rows import Row
from emitter.sources.source import Taken, in_turns

TABLES: Final[dict[Kind, str]] = {"pin": "pinterest_data", "geo": "geolocation_data", "user": "user_data"}
PAGE_ROWS = 1_000
_CONNECT_S = 10
_CONNECT_ARGUMENTS = {"mysql": {"connect_timeout": _CONNECT_S}, "mariadb": {"connect_timeout": _CONNECT_S}}
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=str)

_Key = int | str | Decimal | None
_Values = tuple[object, ...]


class SqlSource:
    """Each table is read in the order of its key, a page at a time; ties are ordered by content.

    A row's position is ``<key>#<place among the rows of this key, from 1>``. Rows without a key come first (they
    are rejected later, not passed over). Columns keep their order; dates get the wire's second form.

    Raises:
        SourceError: the URL is none, the database cannot be reached, or a table or its key column is missing.
    """

    seed = None

    def __init__(self, url: str, page_rows: int = PAGE_ROWS) -> None:
        try:
            self._url = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError) as error:
            msg = "the source is no database URL; write e.g. mysql+pymysql://user:password@host:3306/database"
            raise SourceError(msg) from error
        self._page_rows = page_rows
        # Parameters of the URL may hold secrets too, so they are left out.
        shown = sa.URL.create(
            self._url.drivername, self._url.username, None, self._url.host, self._url.port, self._url.database
        )
        self.identity = f"sql:{shown.render_as_string()}"
        with self._explained("open"):
            arguments = _CONNECT_ARGUMENTS.get(self._url.get_backend_name(), {})
            self._engine = sa.create_engine(self._url, connect_args=arguments, pool_pre_ping=True)
            self._tables = {kind: self._table(name) for kind, name in TABLES.items()}

    def rows(self, taken: Taken) -> Iterator[Row]:
        """The rows behind ``taken``, in turns over the three tables."""
        return in_turns({kind: self._rows(kind, taken.positions.get(kind)) for kind in KINDS}, taken.last)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _table(self, name: str) -> tuple[sa.Table, "sa.Column[_Key]"]:
        table = sa.Table(name, sa.MetaData(), autoload_with=self._engine)
        for field in KEY_FIELDS:
            if field in table.columns:
                return table, table.columns[field]
        msg = f"table {name} of {self.identity} has no column {' or '.join(KEY_FIELDS)}"
        raise SourceError(msg)

    def _rows(self, kind: Kind, position: str | None) -> Iterator[Row]:
        table, column = self._tables[kind]
        names = [each.name for each in table.columns]
        after, _, place = ("", "", "0") if position is None else position.rpartition("#")
        passed = int(place)
        for key, values in self._groups(table, column, after):
            texts = sorted(_encoder.encode(dict(zip(names, map(_plain, row), strict=True))) for row in values)
            for number, value in enumerate(texts[passed:], passed + 1):
                yield Row(kind, value, f"{'' if key is None else key}#{number}")
            passed = 0

    def _groups(self, table: sa.Table, column: "sa.Column[_Key]", after: str) -> Iterator[tuple[_Key, list[_Values]]]:
        """All rows of each key, keys rising from ``after`` on, which itself comes again (all of it)."""
        key: _Key = _parsed(column, after)
        if key is None:
            if without := self._fetch(sa.select(table).where(column.is_(None))):
                yield None, without
            query = sa.select(table).where(column.is_not(None))
        else:
            query = sa.select(table).where(column >= key)
        place = list(table.columns).index(column)
        while True:
            page = self._fetch(query.order_by(column).limit(self._page_rows))
            groups = [(found, list(rows)) for found, rows in groupby(page, key=lambda row: row[place])]
            if len(page) < self._page_rows:
                yield from ((_key(found), rows) for found, rows in groups)
                return
            # The last key of a full page may have more rows on the next one: read that key alone, as a whole.
            last = groups.pop()[0]
            yield from ((_key(found), rows) for found, rows in groups)
            yield _key(last), self._fetch(sa.select(table).where(column == last))
            query = sa.select(table).where(column > last)

    def _fetch(self, query: "sa.Select[_Values]") -> list[_Values]:
        with self._explained("read on"), self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.NoSuchTableError as error:
            msg = f"{self.identity} has no table {error}; the source needs {', '.join(TABLES.values())}"
            raise SourceError(msg) from error
        except (sa.exc.NoSuchModuleError, ImportError) as error:
            msg = f"there is no driver for {self._url.drivername} here: {error}; install it, or use mysql+pymysql://"
            raise SourceError(msg) from error
        except sa.exc.SQLAlchemyError as error:
            text = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error)
            if password := self._url.password:
                text = text.replace(str(password), "***")
            # Neither the statement nor the cause is shown: both may hold what the URL holds.
            raise SourceError(f"cannot {doing} {self.identity}: {text}") from None


def _key(value: object) -> _Key:
    return value if isinstance(value, int | str | Decimal) else str(value)


def _parsed(column: "sa.Column[_Key]", text: str) -> _Key:
    """A key from a position."""
    if not text:
        return None
    kind = column.type.python_type
    return kind(text) if kind in {int, Decimal} else text


def _plain(value: object) -> object:
    """A column's value as it travels."""
    match value:
        case datetime.datetime():
            utc = value.astimezone(datetime.UTC) if value.tzinfo is not None else value
            return utc.replace(tzinfo=None).isoformat(sep=" ")
        case datetime.date():
            return f"{value.isoformat()} 00:00:00"
        case bytes():
            return value.decode(errors="backslashreplace")
        case _:
            return value
