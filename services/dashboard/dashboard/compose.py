"""The composition: sources, pages and the threads that keep them up to date, from settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask
from pipeline_contracts.runs import RunStates
from prometheus_client import CollectorRegistry
from service_kit.clock import Clock

from dashboard.api import answers as answers_api
from dashboard.api import audit as audit_api
from dashboard.api import live
from dashboard.api import popular as api_popular
from dashboard.api import quarantine as api_quarantine
from dashboard.api import records as api_records
from dashboard.api.records import Ways
from dashboard.app import Frame, create_app
from dashboard.audits.folder import AuditsFolder
from dashboard.audits.verdict import Totals
from dashboard.audits.verdict import of as verdict_of
from dashboard.background import Attention, Repeated
from dashboard.blocks import Block, Kept, empty
from dashboard.charts.draw import Drawer
from dashboard.charts.drawn import Pictures
from dashboard.identity import identity_of, privacy_of, refuse_strangers
from dashboard.lake.answers_watch import AnswersWatch
from dashboard.lake.profiles import ProfilesTable
from dashboard.lake.reader import LakeReader
from dashboard.lake.runs import Run
from dashboard.lake.watch import Held, LakeWatch
from dashboard.live.cloudwatch import on_cloudwatch
from dashboard.live.poller import Poller, sources
from dashboard.live.snapshot import Sources
from dashboard.pages import answers, audit, overview, popular, records
from dashboard.records.quarantine import Quarantine
from dashboard.remote.popularity import Popularity
from dashboard.remote.profiles import NotAsked, Profiles, StreamReader
from dashboard.remote.runs import AnalyserRuns
from dashboard.settings import Settings

_STALE_AFTER_S: Final = 30.0
_S3_S: Final = 30.0
"""Each look at a lake in S3 is some dozens of requests, which cost time and money."""


@dataclass(frozen=True)
class Dashboard:
    """The application, and what runs beside it; nothing runs yet."""

    app: Flask
    threads: tuple[Repeated, ...]


def build(settings: Settings, clock: Clock, registry: CollectorRegistry) -> Dashboard:
    """All of the dashboard. Nothing is read here: a source that is down delays no start."""
    attention = Attention(clock)
    identity = identity_of(settings, clock)
    privacy = privacy_of(settings, identity)
    frame = Frame(
        pipeline_id=settings.pipeline_id,
        clock=clock,
        privacy=privacy,
        attention=attention,
        allowed_hosts=settings.allowed_hosts,
        airflow_page=settings.airflow_page,
    )
    poller = Poller(sources(settings) | on_cloudwatch(settings, attention, clock), settings.left_out, clock)
    threads = poller.threads(attention, clock)

    def again(name: str, look: Callable[[], None], least_s: float = 0.0) -> None:
        threads.append(Repeated(name, look, lambda: max(attention.pause_s, least_s), clock))

    runs: Callable[[], Block[RunStates]] = _not_read("DASHBOARD_ANALYSER_URL")
    if settings.analyser_url is not None and "analyser" not in settings.left_out:
        analyser = AnalyserRuns(settings.analyser_url, Kept(clock, _STALE_AFTER_S))
        again("look at runs", analyser.look)
        runs = analyser.block
    held: Callable[[], Block[Held]] = _not_read("LAKE_URI")
    complete_run: Callable[[], Block[Run]] = _not_read("LAKE_URI")
    stream_rows: Callable[[], Block[int]] = _not_read("LAKE_URI")
    in_lake: Callable[[], Totals] = _nothing_known
    reader = LakeReader(settings.lake_uri, settings.storage_options)
    answered = AnswersWatch(reader, clock)
    lake_s = _S3_S if (settings.lake_uri or "").startswith("s3://") else 0.0
    again("look at answers", answered.look, lake_s)
    pictures = Pictures(answered.answers, Drawer(), clock)
    # Looks at what is in memory, and seldom finds something to draw.
    threads.append(Repeated("draw charts", pictures.look, lambda: 1.0, clock))
    if settings.lake_uri is not None:
        watch = LakeWatch(reader, settings.names, clock)
        again("look at the lake", watch.look, lake_s)
        held, complete_run, stream_rows, in_lake = watch.held, watch.run, watch.stream_rows, watch.records
    popularity = Popularity(*_profiles(settings, reader, clock), clock)
    ways, quarantine = Ways(reader, settings.names, clock), Quarantine(reader)
    audited = AuditsFolder(settings.audits_dir, clock)
    again("look at audits", audited.look)
    seen = Sources(poller, verdict_of(audited.block, in_lake, clock), held, runs, complete_run, stream_rows)
    blueprints = [
        overview.blueprint(seen, clock),
        live.blueprint(seen, clock),
        answers.blueprint(answered, pictures),
        answers_api.blueprint(answered),
        popular.blueprint(popularity, clock),
        api_popular.blueprint(popularity, clock),
        records.blueprint(ways, quarantine, privacy, clock),
        api_records.blueprint(ways, privacy),
        api_quarantine.blueprint(quarantine, privacy, clock),
        audit.blueprint(audited, in_lake, clock),
        audit_api.blueprint(audited, in_lake, clock),
    ]
    checks = {thread.name: thread.check for thread in threads}
    app = create_app(frame, blueprints, checks, registry)
    if identity is not None:
        app.before_request(lambda: refuse_strangers(identity))
    return Dashboard(app, tuple(threads))


def _profiles(settings: Settings, reader: LakeReader, clock: Clock) -> tuple[Profiles, Profiles | None]:
    """Who tells of profiles, and the table that is read where that one does not answer."""
    service: Profiles = NotAsked("DASHBOARD_STREAM_READER_URL is not set")
    if settings.stream_reader_url is not None and "stream-reader" not in settings.left_out:
        service = StreamReader(settings.stream_reader_url)
    return service, None if settings.lake_uri is None else ProfilesTable(reader, clock)


def _not_read(setting: str) -> Callable[[], Block[Any]]:
    return lambda: empty(None, f"Not measured here: {setting} is not set")


def _nothing_known() -> Totals:
    return {}
