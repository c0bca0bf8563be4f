"""Puts the parts together: three queries, the popularity, upkeep, the API."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from flask import Flask
from pipeline_contracts.lake import POPULARITY, STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Kind
from prometheus_client import CollectorRegistry
from pyspark.sql import SparkSession
from service_kit.ops import Check
from service_kit.retries import RetryPolicy
from spark_kit.fence import local_folder
from spark_kit.session import own_session

from stream_reader.api import Operations, create_app
from stream_reader.health import checks
from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.failures import FAILURES, brief
from stream_reader.lake.tables import StreamLake, all_tables
from stream_reader.lake.upkeep import Upkeep, Upkept
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.popularity.arrivals import Arrivals
from stream_reader.popularity.index import Index
from stream_reader.popularity.keeper import Pace, Popularity
from stream_reader.popularity.posts import Posts
from stream_reader.popularity.profiles import Profiles
from stream_reader.queries.batch import Sink
from stream_reader.queries.launch import Launcher
from stream_reader.queries.query import Limits, StreamQuery
from stream_reader.queries.rejects import RejectWindow
from stream_reader.queries.streams import Streams
from stream_reader.settings import MIB, Settings

logger = logging.getLogger(__name__)

_LOOK_S = 0.2


@dataclass
class Reader:
    """Everything but the server; its threads end with the process."""

    app: Flask
    checks: Mapping[str, Check]
    queries: Mapping[Kind, StreamQuery]
    popularity: Popularity
    upkeep: Upkeep

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin."""
        self._begin("popularity", self.popularity.run)
        self._begin("upkeep", lambda: self.upkeep.run(self._stop))
        for kind, query in self.queries.items():
            self._begin(f"query-{kind}", self._looking_after(query))

    def stop(self, deadline_s: float) -> bool:
        """Let running batches end, and the popularity take in what they wrote; says whether all ended in time."""
        end = time.monotonic() + deadline_s
        self._stop.set()
        with ThreadPoolExecutor(len(self.queries)) as pool:
            ended = list(pool.map(lambda query: query.close(deadline_s / 2), self.queries.values()))
        self.popularity.stop()
        for thread in self._threads:
            thread.join(max(0.1, end - time.monotonic()))
        return all(ended) and not any(thread.is_alive() for thread in self._threads)

    def _looking_after(self, query: StreamQuery) -> Callable[[], None]:
        return lambda: query.run(self._stop, _LOOK_S)

    def _begin(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()


def build_reader(
    settings: Settings, spark: SparkSession, streams: Streams, retries: RetryPolicy, registry: CollectorRegistry
) -> Reader:
    """Make the tables that are missing, and all parts; starts nothing."""
    names, clock, metrics = settings.names, retries.clock, Metrics(registry)
    tables = DeltaTables(settings.lake_uri, settings.storage_options)
    for table, (schema, properties) in all_tables(names).items():
        try:
            tables.create(table, schema, properties)
        except FAILURES as error:  # its own query names it, and the others go on
            extra = {"table": table, "reason": brief(error)}
            logger.error("a table cannot be made", extra=extra)  # noqa: TRY400  # it says it all
    arrivals, index = Arrivals(settings.waiting_mib * MIB), Index(settings.half_life_s)
    latencies = {"table": Latencies(metrics.table_latency), "popularity": Latencies(metrics.popularity_latency)}
    sink = Sink(tables, names, arrivals, metrics, latencies["table"], clock)
    rejects = {
        kind: RejectWindow(
            settings.reject_minimum, settings.reject_ratio, clock, settings.state_dir / "rejects" / f"{kind}.json"
        )
        for kind in KINDS
    }
    launcher = Launcher(spark, settings, sink, streams, rejects)
    # A query that ends whenever its source gave up has not run well in between.
    settled_s = max(60.0, 2 * settings.source_retry_s)
    limits = Limits(settings.describe_interval_s, settings.lag_limit_s, settings.stop_s / 2, settled_s)
    queries = {
        kind: StreamQuery(
            kind,
            stream=names.stream(kind),
            streams=streams,
            launch=launcher,
            rejects=rejects[kind],
            retries=retries,
            limits=limits,
            metrics=metrics,
        )
        for kind in KINDS
    }
    profiles = Profiles(tables, names, Posts(settings.state_dir / "posts.sqlite"), settings.half_life_s)
    pace = Pace(
        settings.popularity_interval_s,
        settings.profiles_commit_s,
        settings.profiles_mib_per_s,
        settings.popularity_lag_limit_s,
    )
    popularity = Popularity(
        profiles,
        index,
        arrivals=arrivals,
        names=names,
        pace=pace,
        metrics=metrics,
        latencies=latencies["popularity"],
        retries=retries,
    )
    # A session of its own: what it sets does not reach the queries.
    upkeep_lake = StreamLake(own_session(spark), settings.lake_uri)
    upkeep = Upkeep(upkeep_lake, _upkept(settings, tables), settings.upkeep_interval_s, metrics, clock)
    folders = {"state": settings.state_dir}
    if (folder := local_folder(settings.lake_uri)) is not None:
        folders["lake"] = folder
    return Reader(
        create_app(index, clock, Operations(queries, latencies)),
        checks(queries, popularity, folders),
        queries,
        popularity,
        upkeep,
    )


def _upkept(settings: Settings, tables: DeltaTables) -> list[Upkept]:
    def kept(table: str, retention_h: float) -> Upkept:
        exclusive = partial(tables.exclusive, table)
        return Upkept(table, settings.compact_files, settings.compact_mib * MIB, retention_h, exclusive)

    rows = [kept(stream_table(settings.names, kind), settings.retention_h) for kind in KINDS]
    return [*rows, kept(STREAM_QUARANTINE, settings.retention_h), kept(POPULARITY, settings.profiles_retention_h)]
