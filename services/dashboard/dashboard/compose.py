"""The composition: sources, pages and the threads that keep them up to date, from settings."""

from dataclasses import dataclass

from flask import Flask
from prometheus_client import CollectorRegistry
from service_kit.clock import Clock

from dashboard.app import Frame, create_app
from dashboard.background import Attention, Repeated
from dashboard.pages import later, overview
from dashboard.privacy import BySetting
from dashboard.settings import Settings


@dataclass(frozen=True)
class Dashboard:
    """The application, and what runs beside it; nothing runs yet."""

    app: Flask
    threads: tuple[Repeated, ...]


def build(settings: Settings, clock: Clock, registry: CollectorRegistry) -> Dashboard:
    """All of the dashboard. Nothing is read here: a source that is down delays no start."""
    attention = Attention(clock)
    frame = Frame(
        pipeline_id=settings.pipeline_id,
        clock=clock,
        privacy=BySetting(settings.show_personal),
        attention=attention,
        allowed_hosts=settings.allowed_hosts,
        airflow_page=settings.airflow_page,
    )
    threads: tuple[Repeated, ...] = ()
    blueprints = [overview.blueprint(), later.blueprint()]
    checks = {thread.name: thread.check for thread in threads}
    return Dashboard(create_app(frame, blueprints, checks, registry), threads)
