"""Composition root of the mirror: settings, clients, keepers, run."""

import logging
import sys
import threading

from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import Names
from prometheus_client import REGISTRY
from service_kit.clock import SystemClock
from service_kit.logs import configure_logging
from service_kit.ops import Ops, OpsServer
from service_kit.shutdown import Shutdown

from aws_deploy.clients import Clients
from aws_deploy.deployer import Deployer
from aws_deploy.mirror.keeper import Keeper, Metrics
from aws_deploy.mirror.settings import MirrorSettings
from aws_deploy.mirror.sides import KafkaSide, LocalStackSide, Side
from aws_deploy.topics import KafkaTopics
from aws_deploy.wanted import Wanted

_LOG = logging.getLogger("aws_deploy.mirror")


def main() -> int:
    """Run until SIGTERM or SIGINT; gives the exit code."""
    settings = MirrorSettings.load()
    configure_logging("mirror", settings.log_level)
    shutdown = Shutdown()
    shutdown.install()
    clock = SystemClock()
    metrics = Metrics(REGISTRY)
    keepers = {
        side.name: Keeper(side, metrics=metrics, clock=clock, check_seconds=settings.check_seconds)
        for side in _sides(settings)
    }
    ops = Ops("mirror", {name: keeper.ready for name, keeper in keepers.items()})
    try:
        server = OpsServer(ops, settings.host, settings.port, settings.allowed_hosts)
    except OSError as error:
        sys.stderr.write(f"MIRROR_PORT: cannot listen on {settings.host}:{settings.port}: {error.strerror}\n")
        return 1
    with server:
        for name, keeper in keepers.items():
            # Daemons: nothing that they do needs an orderly end, because every deployment can be done again.
            threading.Thread(target=keeper.run, args=(shutdown,), name=name, daemon=True).start()
        _LOG.info("mirror started", extra={"port": server.port, "settings": settings.described()})
        while not shutdown.wait(3600):
            pass
    return 0


def _sides(settings: MirrorSettings) -> list[Side]:
    names = Names(settings.pipeline_id)
    clients = Clients.on_localstack(settings.aws_endpoint_url, settings.aws_region)
    wanted = Wanted(
        names=names,
        target=clients.target,
        local_endpoint=clients.endpoint_url,
        proxy_url=settings.proxy_url,
        api_key=settings.gateway_api_key,
        owner="mirror",
        admin_key=settings.gateway_admin_key,
    )
    deployer = Deployer(clients.cloudformation, clients.target, deadline_s=120, poll_s=0.1)
    return [
        LocalStackSide(clients, deployer, wanted),
        KafkaSide(KafkaTopics(settings.kafka_bootstrap_servers), topic_specs(names)),
    ]


if __name__ == "__main__":
    sys.exit(main())
