"""``python -m dashboard``: settings, sources, pages. The only reader of the environment.

Exit codes: 0 stopped in order; 2 bad settings or a port that is taken.
"""

import logging
import sys
import threading

from prometheus_client import REGISTRY
from service_kit.clock import SystemClock
from service_kit.logs import configure_logging
from service_kit.shutdown import Shutdown
from service_kit.web import bound_server

from dashboard.app import SERVICE
from dashboard.background import stop_all
from dashboard.compose import build
from dashboard.settings import Settings

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_BAD_INPUT = 0, 2
_STOP_S = 2.0


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = Settings.load()
    configure_logging(SERVICE, settings.log_level)
    shutdown = Shutdown()
    shutdown.install()
    logger.info("starting", extra={"settings": settings.described()})
    dashboard = build(settings, SystemClock(), REGISTRY)
    try:
        server = bound_server(settings.host, settings.port, dashboard.app)
    except OSError as error:
        sys.stderr.write(f"DASHBOARD_PORT: {settings.host}:{settings.port} cannot be used: {error.strerror}\n")
        return EXIT_BAD_INPUT
    for thread in dashboard.threads:
        thread.start()
    http = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    http.start()
    logger.info("serving", extra={"address": f"http://{settings.host}:{server.socket.getsockname()[1]}"})
    while not shutdown.wait(60.0):
        pass
    server.shutdown()
    stop_all(dashboard.threads)
    http.join(_STOP_S)
    logger.info("stopped")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
