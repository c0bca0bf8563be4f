"""Rows from the original's three tables, in any database that SQLAlchemy has a driver for."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from itertools import groupby
from typing import Final
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from pipeline_contracts.events import KEY_FIELDS
from pipeline_contracts.names import KINDS, Kind

from emitter.errors import SourceError
from emitter.rows import Row
from emitter.sources.position import Position
from emitter.sources.source import Taken, in_turns
from emitter.sources.sql_values import as_json, keep_bad_text

TABLES: Final[dict[Kind, str]] = {"pin": "pinterest_data", "geo": "geolocation_data", "user": "user_data"}
PAGE_ROWS = 1_000
_CONNECT_S = 10
_CONNECT_ARGUMENTS = {"mysql": {"connect_timeout": _CONNECT_S}, "mariadb": {"connect_timeout": _CONNECT_S}}

_Key = int | str | Decimal | None
_Values = tuple[object, ...]


class SqlSource:
    """Each table is read in the order of its key, a page at a time; ties are ordered by content.

    A row's position is ``<key>#<place>@<rows>.<digest>``: its place among the rows of this key, from 1; how many rows
    of the table were read up to it; a digest of this key's rows up to it. The last two tell whether the table has
    changed before that place when a run is gone on with. Rows without a key come first (they are rejected later, not
    passed over). Columns keep their order; dates get the wire's second form.

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
        _refuse_misread(self._url)
        self._page_rows = page_rows
        # Parameters of the URL may hold secrets too, so they are left out.
        shown = sa.URL.create(
            self._url.drivername, self._url.username, None, self._url.host, self._url.port, self._url.database
        )
        self.identity = f"sql:{shown.render_as_string()}"
        with self._explained("open"):
            arguments = _CONNECT_ARGUMENTS.get(self._url.get_backend_name(), {})
            self._engine = sa.create_engine(self._url, connect_args=arguments, pool_pre_ping=True)
            if self._url.get_backend_name() == "sqlite":
                sa.event.listen(self._engine, "connect", keep_bad_text)
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
        after = Position.parsed(position) if position is not None else Position()
        read = self._read_before(table, column, after)
        for key, texts in self._groups(table, column, after.key):
            place, digest = 0, hashlib.blake2b(digest_size=8)
            for place, value in enumerate(texts, 1):
                digest.update(value)
                read += 1
                if place > after.place:
                    yield Row(kind, value, str(Position(key, place, read, digest.hexdigest())))
                elif place == after.place and after.digest not in {"", digest.hexdigest()}:
                    raise self._changed(table, after)
            if place < after.place:
                raise self._changed(table, after)
            after = Position()

    def _read_before(self, table: sa.Table, column: "sa.Column[_Key]", after: "Position") -> int:
        """How many rows have keys before the one at which the run stopped.

        Raises:
            SourceError: they are not those that the run has read.
        """
        key = _parsed(column, after.key)
        if key is None:
            return 0
        with self._explained("read on"), self._engine.connect() as connection:
            before = sa.select(sa.func.count()).select_from(table).where((column < key) | column.is_(None))
            count = int(connection.execute(before).scalar_one())
        if after.read and count + after.place != after.read:
            raise self._changed(table, after)
        return count

    def _changed(self, table: sa.Table, after: "Position") -> SourceError:
        return SourceError(
            f"table {table.name} of {self.identity} has gained or lost rows before the place where the run stopped "
            f"(key {after.key or 'none'}), so going on could miss some. Send with --fresh; a row sent twice counts once"
        )

    def _groups(self, table: sa.Table, column: "sa.Column[_Key]", after: str) -> Iterator[tuple[str, Iterable[bytes]]]:
        """The rows of each key in order, keys rising from ``after`` on, which itself comes again (all of it)."""
        names = [each.name for each in table.columns]
        key: _Key = _parsed(column, after)
        if key is None:
            yield "", self._spooled(names, sa.select(table).where(column.is_(None)))
            query = sa.select(table).where(column.is_not(None))
        else:
            query = sa.select(table).where(column >= key)
        place = list(table.columns).index(column)
        while True:
            page = self._fetch(query.order_by(column).limit(self._page_rows))
            groups = [(found, list(rows)) for found, rows in groupby(page, key=lambda row: row[place])]
            # The last key of a full page may have more rows on the next one: read that key alone, as a whole.
            last = groups.pop()[0] if len(page) == self._page_rows else None
            for found, rows in groups:
                yield str(_key(found)), sorted(as_json(names, row) for row in rows)
            if last is None:
                return
            yield str(_key(last)), self._spooled(names, sa.select(table).where(column == last))
            query = sa.select(table).where(column > last)

    def _fetch(self, query: "sa.Select[_Values]") -> list[_Values]:
        with self._explained("read on"), self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _spooled(self, names: list[str], query: "sa.Select[_Values]") -> Iterator[bytes]:
        """Rows that may be any number, in order: sorted on a disk, so that memory holds few of them."""
        # An empty name is a temporary database, which SQLite deletes: https://www.sqlite.org/inmemorydb.html
        with closing(sqlite3.connect("", check_same_thread=False)) as spool:
            spool.execute("CREATE TABLE spooled (value BLOB)")
            with self._explained("read on"), self._engine.connect() as connection:
                rows = connection.execution_options(yield_per=self._page_rows).execute(query)
                spool.executemany("INSERT INTO spooled VALUES (?)", ((as_json(names, tuple(row)),) for row in rows))
            for (value,) in spool.execute("SELECT value FROM spooled ORDER BY value"):
                yield value

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
        except sqlite3.Error as error:
            raise SourceError(
                f"cannot sort rows of {self.identity} on the disk for temporary files: {error}"
            ) from error
        except UnicodeDecodeError as error:
            msg = f"cannot {doing} {self.identity}: a text is not {error.encoding}; set the charset in the URL"
            raise SourceError(msg) from error
        except sa.exc.SQLAlchemyError as error:
            text = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error)
            if password := self._url.password:
                for form in (str(password), quote(str(password)), quote_plus(str(password))):
                    text = text.replace(form, "***")
            # Neither the statement nor the cause is shown: both may hold what the URL holds.
            raise SourceError(f"cannot {doing} {self.identity}: {text}") from None


def _refuse_misread(url: sa.URL) -> None:
    """A password with a bare ``@`` is cut there, and its rest would be shown as the host.

    Raises:
        SourceError: it seems to be so; the message shows no part of the URL.
    """
    if url.get_backend_name() != "sqlite" and "@" in f"{url.host or ''}{url.database or ''}":
        msg = (
            "the database URL has an @ too many: in the user's name and password write %40 for @, %2F for /, %3A for : "
            "and %23 for #"
        )
        raise SourceError(msg)


def _key(value: object) -> _Key:
    return value if isinstance(value, int | str | Decimal) else str(value)


def _parsed(column: "sa.Column[_Key]", text: str) -> _Key:
    """A key from a position."""
    if not text:
        return None
    kind = column.type.python_type
    return kind(text) if kind in {int, Decimal} else text
