"""The dashboard's pages, and its API."""

from fuzzing.place import Place
from fuzzing.request import Request
from fuzzing.web import Target, WebSurface, coded

PAGES = (
    "/", "/answers", "/answers/users_joined_by_year", "/answers/users_joined_by_year.csv?safe=1",
    "/answers/users_joined_by_year.json", "/popular?limit=50", "/popular/profile?name=x", "/records",
    "/records?kind=pin&key=1", "/records/quarantine?path=batch&source=record", "/records/quarantine/row?id=x",
    "/audit?history=5", "/static/style.css", "/favicon.ico", "/openapi.json",
)  # fmt: skip
RESOURCES = (
    "live", "answers", "answers/users_joined_by_year?limit=5&format=csv", "popular?limit=5", "profiles?name=x",
    "facets", "records?kind=pin&key=1", "records/at?name=pinterest.pin&partition=0&offset=1",
    "quarantine?limit=5&path=batch", "quarantine/counts", "quarantine/raw?id=x", "audit", "audits?limit=5",
)  # fmt: skip
PATHS = (*PAGES, *(f"/api/v1/{path}" for path in RESOURCES))
"""Each route once at least, as ``tests/policy/test_fuzz_seeds.py`` sees to; ids that there cannot be are 404."""


def surface(place: Place) -> WebSurface:
    """All of it."""
    seeds = [(Request("GET", path), None) for path in PATHS]
    return WebSurface(Target(place.urls["dashboard"], coded, place.secrets, pages=True), seeds)
