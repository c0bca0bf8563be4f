"""``python -m ingest_proxy``: settings, clients, application, server. The only reader of the environment."""

import logging
import sys

from prometheus_client import REGISTRY
from service_kit.logs import configure_logging

from ingest_proxy.app import create_app
from ingest_proxy.producer import KafkaSender
from ingest_proxy.server import PortTakenError, serve
from ingest_proxy.settings import ProxySettings
from ingest_proxy.topics import KafkaTopics

logger = logging.getLogger(__name__)


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight and end with 0."""
    settings = ProxySettings.load()
    configure_logging("proxy", settings.log_level)
    logger.info("starting", extra={"settings": settings.described()})
    sender = KafkaSender(settings)
    topics = KafkaTopics(settings.bootstrap_servers, list(settings.names.topics), sender.renew, settings.login)
    try:
        app = create_app(settings, topics, sender, REGISTRY)
        serve(app, settings.host, settings.port, settings.threads, registry=REGISTRY)
    except PortTakenError as error:
        sys.exit(str(error))
    logger.info("draining")
    sender.close()
    topics.close()
    logger.info("stopped")


if __name__ == "__main__":
    main()
