"""The first page: is everything running, how much flows, is anything lost."""

from flask import Blueprint, render_template
from service_kit.clock import Clock

from dashboard.api.frame import parameters
from dashboard.live import nodes
from dashboard.live.snapshot import Sources, snapshot


def blueprint(sources: Sources, clock: Clock, *, on_aws: bool = False) -> Blueprint:
    """Its route; a view waits for nothing. ``on_aws``: what is red is explained by the runbooks, not by commands."""
    made = Blueprint("overview", __name__)

    def overview() -> str:
        parameters()
        return render_template("overview.html", live=snapshot(sources, clock), nodes=nodes, on_aws=on_aws)

    made.add_url_rule("/", "overview", overview, methods=["GET"])
    return made
