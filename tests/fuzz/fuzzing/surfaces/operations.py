"""The operational routes of every service."""

import random

from fuzzing.case import Case
from fuzzing.place import OPERATED, Place
from fuzzing.request import Request
from fuzzing.web import Target, WebSurface, coded

PATHS = ("/livez", "/readyz", "/version", "/metrics", "/", "/nothing", "/readyz?verbose=1")


class Operations:
    """One service after the other."""

    pause_s = 0.02

    def __init__(self, place: Place) -> None:
        seeds = [(Request("GET", path), None) for path in PATHS]
        targets = (Target(place.urls[one], coded, place.secrets, pages=one == "dashboard") for one in OPERATED)
        self._services = [WebSurface(target, seeds) for target in targets]

    def case(self, chance: random.Random) -> Case:
        """A request to any of them."""
        return chance.choice(self._services).case(chance)
