"""The composition: sources, pages and the threads that keep them up to date, from settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, Flask
from pipeline_contracts.runs import RunStates
from prometheus_client import CollectorRegistry
from service_kit.clock import Clock

from dashboard.api import answers as api_answers
from dashboard.api import audit as api_audit
from dashboard.api import live
from dashboard.api import popular as api_popular
from dashboard.api import quarantine as api_quarantine
from dashboard.api import records as api_records
from dashboard.api.records import Ways
from dashboard.app import Frame, create_app
from dashboard.audits.folder import AuditsFolder
from dashboard.audits.verdict import RecordsInLake
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
from dashboard.lake.watch import LakeWatch, NotTaken
from dashboard.live.cloudwatch import on_cloudwatch
from dashboard.live.poller import Poller, sources
from dashboard.live.snapshot import Sources
from dashboard.pages import answers, audit, overview, popular, records
from dashboard.privacy import Privacy
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
    identity = identity_of(settings, clock)
    shared = _Shared(settings, clock, privacy_of(settings, identity))
    lake = _lake(shared)
    audited = AuditsFolder(settings.audits_dir, clock)
    shared.again("look at audits", audited.look)
    blueprints = [
        *_overview(shared, lake, audited),
        *_answers(shared),
        *_popular(shared),
        *_records(shared),
        audit.blueprint(audited, lake.records, clock),
        api_audit.blueprint(audited, lake.records, clock),
    ]
    frame = Frame(
        pipeline_id=settings.pipeline_id,
        clock=clock,
        privacy=shared.privacy,
        attention=shared.attention,
        allowed_hosts=settings.allowed_hosts,
        airflow_page=None if "airflow" in settings.left_out else settings.airflow_page,
    )
    app = create_app(frame, blueprints, {thread.name: thread.check for thread in shared.threads}, registry)
    if identity is not None:
        app.before_request(lambda: refuse_strangers(identity))
    return Dashboard(app, tuple(shared.threads))


class _Shared:
    """What several pages need, and the threads that they ask for."""

    def __init__(self, settings: Settings, clock: Clock, privacy: Privacy) -> None:
        self.settings = settings
        self.clock = clock
        self.privacy = privacy
        self.attention = Attention(clock)
        self.reader = LakeReader(settings.lake_uri, settings.storage_options)
        self.threads: list[Repeated] = []

    def again(self, name: str, look: Callable[[], None], least_s: float = 0.0) -> None:
        """Look again and again, with a pause of ``least_s`` at least."""
        self.threads.append(Repeated(name, look, lambda: max(self.attention.pause_s, least_s), self.clock))

    @property
    def lake_s(self) -> float:
        """The least pause between looks at the lake."""
        return _S3_S if (self.settings.lake_uri or "").startswith("s3://") else 0.0


@dataclass(frozen=True)
class _Lake:
    """What the Overview and the audits show of the lake."""

    not_taken: Callable[[], Block[NotTaken]]
    run: Callable[[], Block[Run]]
    stream_rows: Callable[[], Block[int]]
    records: Callable[[], RecordsInLake]


def _lake(shared: _Shared) -> _Lake:
    if shared.settings.lake_uri is None:
        return _Lake(_not_read("LAKE_URI"), _not_read("LAKE_URI"), _not_read("LAKE_URI"), _nothing_known)
    watch = LakeWatch(shared.reader, shared.settings.names, shared.clock)
    shared.again("look at the lake", watch.look, shared.lake_s)
    return _Lake(watch.not_taken, watch.run, watch.stream_rows, watch.records)


def _overview(shared: _Shared, lake: _Lake, audited: AuditsFolder) -> list[Blueprint]:
    settings, clock = shared.settings, shared.clock
    watched = sources(settings) | on_cloudwatch(settings, shared.attention, clock)
    poller = Poller(watched, settings.left_out, clock)
    shared.threads += poller.threads(shared.attention, clock)
    runs: Callable[[], Block[RunStates]] = _not_read("DASHBOARD_ANALYSER_URL")
    if settings.analyser_url is not None and "analyser" not in settings.left_out:
        analyser = AnalyserRuns(settings.analyser_url, Kept(clock, _STALE_AFTER_S))
        shared.again("look at runs", analyser.look)
        runs = analyser.block
    verdict = verdict_of(audited.block, lake.records, clock)
    seen = Sources(poller, verdict, lake.not_taken, runs, lake.run, lake.stream_rows)
    on_aws = settings.cloudwatch_stage is not None
    return [overview.blueprint(seen, clock, on_aws=on_aws), live.blueprint(seen, clock)]


def _answers(shared: _Shared) -> list[Blueprint]:
    answered = AnswersWatch(shared.reader, shared.clock)
    shared.again("look at answers", answered.look, shared.lake_s)
    pictures = Pictures(answered.answers, Drawer(), shared.clock)
    # Looks at what is in memory, and seldom finds something to draw.
    shared.threads.append(Repeated("draw charts", pictures.look, lambda: 1.0, shared.clock))
    return [answers.blueprint(answered, pictures), api_answers.blueprint(answered)]


def _popular(shared: _Shared) -> list[Blueprint]:
    settings, clock = shared.settings, shared.clock
    service: Profiles = NotAsked("DASHBOARD_STREAM_READER_URL is not set")
    if settings.stream_reader_url is not None and "stream-reader" not in settings.left_out:
        service = StreamReader(settings.stream_reader_url)
    # The table is read where the service does not answer.
    table = None if settings.lake_uri is None else ProfilesTable(shared.reader, clock)
    popularity = Popularity(service, table, clock)
    return [popular.blueprint(popularity, clock), api_popular.blueprint(popularity, clock)]


def _records(shared: _Shared) -> list[Blueprint]:
    ways, quarantine = Ways(shared.reader, shared.settings.names, shared.clock), Quarantine(shared.reader)
    return [
        records.blueprint(ways, quarantine, shared.privacy, shared.clock),
        api_records.blueprint(ways, shared.privacy),
        api_quarantine.blueprint(quarantine, shared.privacy, shared.clock),
    ]


def _not_read(setting: str) -> Callable[[], Block[Any]]:
    return lambda: empty(None, f"Not measured here: {setting} is not set")


def _nothing_known() -> RecordsInLake:
    return {}
