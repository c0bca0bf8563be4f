"""``python -m pipeline_local.airflow_health PORT``: a container's health check of Airflow.

Airflow answers 200 also while a part of it does not work, and names each part:
https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/logging-monitoring/check-health.html
"""

import json
import sys
from typing import Final

from service_kit import probe

PATH: Final = "/api/v2/monitor/health"
_PARTS: Final = ("metadatabase", "scheduler", "dag_processor")


def is_healthy(body: bytes) -> bool:
    """Whether every part works that we run, by the body of a 200 of ``PATH``."""
    states = json.loads(body)
    return all(states.get(part, {}).get("status") == "healthy" for part in _PARTS)


if __name__ == "__main__":
    sys.exit(probe.main(sys.argv[1:], PATH, is_healthy))
