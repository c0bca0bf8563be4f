"""Services that describe themselves: requests that schemathesis makes of ``/openapi.json``, and all of its checks."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from fuzzing.case import Case
from fuzzing.place import Place

DESCRIBED = ("proxy", "stream-reader", "dashboard")
EXAMPLES = 8


@dataclass(frozen=True)
class Examples:
    """A few requests of one operation."""

    operation: APIOperation[Any, Any, Any, Any]
    mode: GenerationMode
    number: int

    @property
    def sent(self) -> bytes:
        """Which operation; a fault says the request itself."""
        return f"{self.operation.label}, {self.mode.value}".encode()

    def run(self) -> list[str]:
        """Send them; hypothesis makes what fails smaller."""

        @seed(self.number)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(self.operation.as_strategy(generation_mode=self.mode))
        def keeps_to_it(case: schemathesis.Case[Any]) -> None:
            # A record may name a partition only if it is the request's, which the schema cannot say.
            case.call_and_validate(excluded_checks=[positive_data_acceptance], timeout=60)

        try:
            keeps_to_it()
        except FailureGroup as error:
            return [f"{self.operation.label}: {'; '.join(str(one) for one in error.exceptions)}"]
        except Unsatisfiable:
            return []  # such as a bad request to a route that takes nothing
        return []

    def smaller(self) -> Iterator[Case]:
        """It is as small as can be."""
        return iter(())


class Described:
    """All operations of all services that describe themselves."""

    pause_s = 0.5

    def __init__(self, place: Place, services: Sequence[str] = DESCRIBED) -> None:
        self._operations: list[APIOperation[Any, Any, Any, Any]] = []
        for service in services:
            schema = schemathesis.openapi.from_url(f"{place.urls[service]}/openapi.json")
            self._operations += [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]

    def case(self, chance: random.Random) -> Case:
        """One operation, good or bad requests."""
        mode = chance.choice((GenerationMode.POSITIVE, GenerationMode.NEGATIVE))
        return Examples(chance.choice(self._operations), mode, chance.randrange(2**32))
