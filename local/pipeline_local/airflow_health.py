"""``python -m pipeline_local.airflow_health PORT``: a container's health check of Airflow.

Airflow answers 200 also while a part of it does not work, and names each part:
https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/logging-monitoring/check-health.html
"""

import http.client
import json
import sys
from typing import Final

PARTS: Final = ("metadatabase", "scheduler", "dag_processor")
PATH: Final = "/api/v2/monitor/health"
TIMEOUT_S: Final = 4


def unhealthy(body: bytes) -> list[str]:
    """The parts that do not work, by the body of an answer of ``PATH``."""
    states = json.loads(body)
    return [part for part in PARTS if states.get(part, {}).get("status") != "healthy"]


def main(arguments: list[str]) -> int:
    """Ask once, on loopback; blocks for 4 s at most. Exit code 0: all parts are healthy."""
    if len(arguments) != 1 or not arguments[0].isdecimal():
        sys.stderr.write("usage: python -m pipeline_local.airflow_health PORT\n")
        return 2
    connection = http.client.HTTPConnection("127.0.0.1", int(arguments[0]), timeout=TIMEOUT_S)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(body.decode(errors="replace"))
    return 0 if answer.status == 200 and not unhealthy(body) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
