"""``GET /api/v1/live``: what the Overview shows now. One request moves all of a page."""

from flask import Blueprint, Response
from service_kit.clock import Clock

from dashboard.api.frame import answer, parameters
from dashboard.live.snapshot import Sources, document, snapshot


def blueprint(sources: Sources, clock: Clock) -> Blueprint:
    """Its route; a view waits for nothing."""
    made = Blueprint("api_live", __name__)

    def live() -> Response:
        parameters()
        return answer(document(snapshot(sources, clock)))

    made.add_url_rule("/api/v1/live", "live", live, methods=["GET"])
    return made
