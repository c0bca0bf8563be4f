"""How long each tier may take: one that takes longer has failed. The one place, which ``docs/testing.md`` repeats.

About twice what it takes on two cores where each tier runs as ``.ci/run`` runs it. Waiting for a Docker engine that
is being made does not count.
"""

from typing import Final

BUDGETS_MIN: Final[dict[str, int]] = {
    "lint": 7,
    "policy": 5,
    "unit": 8,
    "databricks": 9,
    "integration": 28,
    "embedded": 18,
    "chaos": 12,
    "readme": 4,
    "airflow": 10,
    "fuzz": 7,
    "browser": 7,
    "docker": 14,
}
"""Minutes, by tier."""


def over(tier: str, seconds: float) -> str | None:
    """What a tier's closing line says where it took longer than it may; None where it did not."""
    budget = BUDGETS_MIN[tier]
    return f"{seconds:.0f} s, over its budget of {budget} min" if seconds > budget * 60 else None
