"""How long each tier may take: one that takes longer has failed. The one place, which ``docs/testing.md`` repeats.

About 1.6 times what it takes on two cores where each tier runs as ``.ci/run`` runs it. Waiting for a Docker engine that
is being made does not count.
"""

from typing import Final

BUDGETS_MIN: Final[dict[str, int]] = {
    "lint": 5,
    "policy": 4,
    "unit": 5,
    "databricks": 6,
    "integration": 25,
    "embedded": 13,
    "chaos": 10,
    "readme": 3,
    "airflow": 6,
    "fuzz": 5,
    "browser": 4,
    "docker": 11,
}
"""Minutes, by tier."""


def over(tier: str, seconds: float) -> str | None:
    """What a tier's closing line says where it took longer than it may; None where it did not."""
    budget = BUDGETS_MIN[tier]
    return f"{seconds:.0f} s, over its budget of {budget} min" if seconds > budget * 60 else None
