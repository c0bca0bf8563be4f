"""Pages that are being built: each says so, and what to use meanwhile."""

from dataclasses import dataclass

from flask import Blueprint, render_template

from dashboard.api.frame import parameters


@dataclass(frozen=True)
class Later:
    """A page that is not there yet."""

    path: str
    title: str
    why: str
    meanwhile: str


LATER = (Later("/audit", "Audit", "Audits have no page yet", "pipeline audit"),)


def blueprint(pages: tuple[Later, ...] = LATER) -> Blueprint:
    """Their routes."""
    made = Blueprint("later", __name__)
    for page in pages:

        def view(page: Later = page) -> str:
            parameters()
            return render_template("later.html", page=page)

        made.add_url_rule(page.path, page.title.lower(), view, methods=["GET"])
    return made
