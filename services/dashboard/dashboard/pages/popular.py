"""Who is popular now, and one profile with its posts."""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from flask import Blueprint, render_template
from service_kit.clock import Clock

from dashboard.api.popular import asked, profile_name, shown
from dashboard.lake.answers import AGE_GROUPS
from dashboard.remote.popularity import Popularity
from dashboard.remote.profiles import Facets

LIMITS: Final = (20, 50, 100)


def blueprint(popularity: Popularity, clock: Clock) -> Blueprint:
    """Their routes. A view waits about a second at most, and only for what nobody has asked for before."""
    made = Blueprint("popular", __name__)

    def popular() -> str:
        only, limit = asked()
        block = popularity.popular(only)
        return render_template(
            "popular.html",
            block=block,
            shown=shown(block, limit, clock),
            limit=limit,
            limits=sorted({*LIMITS, limit}),
            only=only.given(),
            query=urlencode({**only.given(), "limit": limit}),
            choices=_choices(popularity.facets().value),
            age_groups=AGE_GROUPS,
        )

    def profile() -> tuple[str, int]:
        name = profile_name()
        block = popularity.profile(name)
        status = HTTPStatus.NOT_FOUND if block.state == "empty" else HTTPStatus.OK
        return render_template("profile.html", block=block, name=name), status

    made.add_url_rule("/popular", "popular", popular, methods=["GET"])
    made.add_url_rule("/popular/profile", "profile", profile, methods=["GET"])
    return made


def _choices(facets: Facets | None) -> dict[str, list[tuple[str, int]]]:
    """What a filter can be, and how many profiles have it; nothing where that is not known."""
    if facets is None:
        return {}
    return {
        name: sorted((one.value, one.profiles) for one in facet.values if one.value is not None)
        for name, facet in facets.facets.items()
    }
