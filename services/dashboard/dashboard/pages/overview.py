"""The first page: is everything running, how much flows, is anything lost."""

from flask import Blueprint, render_template

from dashboard.api.frame import parameters


def blueprint() -> Blueprint:
    """Its route."""
    made = Blueprint("overview", __name__)

    def overview() -> str:
        parameters()
        return render_template("overview.html")

    made.add_url_rule("/", "overview", overview, methods=["GET"])
    return made
