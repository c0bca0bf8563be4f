"""The dashboard's frame for tests of its pages."""

from collections.abc import Sequence
from typing import Any

from dashboard.app import Frame, create_app
from dashboard.background import Attention
from dashboard.privacy import BySetting
from flask import Blueprint, Flask
from prometheus_client import CollectorRegistry
from service_kit.clock import ManualClock


class FrameOfTests:
    """Makes applications of any pages, at a time that stands still."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.attention = Attention(self.clock)

    def app(self, blueprints: Sequence[Blueprint], *, shows_personal: bool = False, **frame: Any) -> Flask:
        made = Frame("pinterest", self.clock, BySetting(shows_personal), self.attention, **frame)
        return create_app(made, blueprints, {}, CollectorRegistry())
