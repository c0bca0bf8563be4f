"""The dashboard's pages, and its API."""

from fuzzing.place import Place
from fuzzing.request import Request
from fuzzing.web import Target, WebSurface, coded

PAGES = ("/", "/answers", "/popular", "/records", "/audit", "/static/style.css", "/favicon.ico", "/openapi.json")
RESOURCES = (
    "live", "answers", "answers/users_joined_by_year?limit=5&format=csv", "popular?limit=5", "profiles?name=x",
    "facets",
    "records?kind=pin&key=1", "records?topic=pinterest.pin&partition=0&offset=1", "quarantine?limit=5&path=batch",
    "quarantine/counts", "quarantine/raw?path=batch", "audits",
)  # fmt: skip


def surface(place: Place) -> WebSurface:
    """All of it; what is not there yet is a 404, which has a form, too."""
    paths = (*PAGES, *(f"/api/v1/{path}" for path in RESOURCES))
    seeds = [(Request("GET", path), None) for path in paths]
    return WebSurface(Target(place.urls["dashboard"], coded, place.secrets, pages=True), seeds)
