"""Airflow answers to its own names alone, as our services do (``service_kit.hosts``): there is no login to stop a page
of somebody else whose name was made to lead to this machine.
"""

import os
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from starlette.middleware.trustedhost import TrustedHostMiddleware  # type: ignore[import-not-found]  # there, too

NAMES = ["localhost", "127.0.0.1", *os.environ["ALLOWED_HOSTS"].split(",")]


class Hosts(AirflowPlugin):  # type: ignore[misc]  # Airflow is in an environment of its own
    """Any other name is 400."""

    name = "hosts"
    fastapi_root_middlewares: list[dict[str, Any]] = [  # noqa: RUF012  # Airflow's word
        {"name": "hosts", "middleware": TrustedHostMiddleware, "kwargs": {"allowed_hosts": NAMES}}
    ]
