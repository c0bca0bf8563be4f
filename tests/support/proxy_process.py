"""The proxy as a real process, for tests of those who post to it."""

import os
import subprocess
import sys

import urllib3
from confluent_kafka.admin import NewTopic
from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import Names
from servers import Kafka, free_port, make_topics
from waiting import wait_until

READY_S = 30


def create_topics(kafka: Kafka, names: Names) -> None:
    """The topics of one pipeline, as the mirror makes them."""
    specs = topic_specs(names)
    make_topics(kafka.bootstrap_servers, *(NewTopic(spec.name, spec.partitions, config=spec.config) for spec in specs))


class Proxy:
    """The real proxy as a process, which can be killed and started again on its port."""

    def __init__(self, kafka: Kafka, names: Names) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = os.environ | {
            "PIPELINE_ID": names.pipeline_id,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "PROXY_PORT": str(self.port),
            "PROXY_LOG_LEVEL": "WARNING",
        }
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "ingest_proxy"], env=self._environment)
        wait_until("the proxy is ready", self._ready, READY_S)

    def _ready(self) -> bool:
        assert self.process.poll() is None
        try:
            return urllib3.request("GET", f"{self.url}/readyz", timeout=2, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(25)
