"""Services of ``compose.yaml`` as single containers, for tests: their own image, environment and limits."""

import os
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # one more image to pull, for nothing: we clean up

import engine
from servers import free_port
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from waiting import wait_until

PIPELINE_ID = "ct"
READY_DEADLINE_S = 150
# The port of its routes inside; what a test asks each for.
PORTS = {
    "dashboard": 8095,
    "localstack": 4566,
    "mirror": 8094,
    "proxy": 8082,
    "s3-sink": 8091,
    "analyser": 8090,
    "stream-reader": 8092,
}
NEEDS = {
    "mirror": ["kafka", "localstack"],
    "proxy": ["mirror"],
    "s3-sink": ["mirror"],
    "analyser": ["mirror"],
    "stream-reader": ["mirror"],
}
SPARK = ("analyser", "stream-reader")


class ServiceContainer:
    """One running container of a service."""

    def __init__(self, name: str, container: DockerContainer) -> None:
        self.name = name
        self._container = container

    @property
    def inner(self) -> Any:
        """The Docker client's own object."""
        return self._container.get_wrapped_container()

    @property
    def url(self) -> str:
        """Where this machine reaches it. A container that was started again has another port."""
        self.inner.reload()
        bound = self.inner.attrs["NetworkSettings"]["Ports"][f"{PORTS[self.name]}/tcp"]
        return f"http://127.0.0.1:{bound[0]['HostPort']}"

    @property
    def health(self) -> str:
        """What Docker says of it: starting, healthy, unhealthy."""
        self.inner.reload()
        return str(self.inner.attrs["State"].get("Health", {}).get("Status"))

    @property
    def failed_checks(self) -> int:
        """How many health checks in a row have failed."""
        self.inner.reload()
        return int(self.inner.attrs["State"]["Health"]["FailingStreak"])

    def status_of(self, path: str) -> int:
        """The status of one GET; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def await_healthy(self) -> None:
        """Block until its health check passes (150 s at most)."""
        try:
            wait_until(f"{self.name} healthy", lambda: self.health == "healthy", READY_DEADLINE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()[-3000:]}") from error

    def await_status(self, path: str, status: int, deadline_s: float = 40) -> None:
        """Block until a GET answers with this status."""
        wait_until(f"{self.name}{path} {status}", lambda: self.status_of(path) == status, deadline_s)

    def stop(self, seconds: int = 40) -> int:
        """SIGTERM; its exit code. 137 when it had to be killed after ``seconds``."""
        self.inner.stop(timeout=seconds)
        return int(self.inner.wait()["StatusCode"])

    def start(self) -> None:
        """Start it again and block until it is healthy."""
        self.inner.start()
        self.await_healthy()

    def logs(self) -> str:
        """All it wrote."""
        return str(self.inner.logs().decode(errors="replace"))


class Cluster:
    """A network of its own with the services that were asked for. A context manager that leaves nothing behind."""

    def __init__(self, images: dict[str, str]) -> None:
        self._images = images
        self._stack = ExitStack()
        self._services: dict[str, ServiceContainer] = {}
        self.kafka_port = free_port()
        self._variables = {
            "PIPELINE_ID": PIPELINE_ID,
            "KAFKA_PORT": str(self.kafka_port),
            "ANALYSER_SHORT_LIVED": "true",
            "STREAM_READER_SHORT_LIVED": "true",
        }

    def __enter__(self) -> Self:
        self._network = self._stack.enter_context(Network())
        self._lake = self.volume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def bootstrap_servers(self) -> str:
        return f"localhost:{self.kafka_port}"

    def __getitem__(self, name: str) -> ServiceContainer:
        """A running, healthy service; started, with what it needs, when it is not there yet."""
        if name not in self._services:
            for needed in NEEDS.get(name, []):
                self[needed]
            container = self._container(name)
            if name == "kafka":
                container.with_bind_ports(19092, self.kafka_port)
            else:
                container.with_exposed_ports(PORTS[name])
            self._services[name] = ServiceContainer(name, self._stack.enter_context(container))
        service = self._services[name]
        service.await_healthy()
        return service

    def emitter(self, *arguments: str, raw: Path | None = None, ledger: str | None = None) -> ServiceContainer:
        """A run of the emitter, just started. ``ledger`` names a volume that outlives it."""
        self["proxy"]
        container = self._container("emitter").with_command(list(arguments))
        if raw is not None:
            container.with_volume_mapping(raw, "/raw")
        container.with_volume_mapping(ledger or self.volume(), "/var/lib/pipeline/emitter", "rw")
        return ServiceContainer("emitter", self._stack.enter_context(container))

    def volume(self) -> str:
        """A new volume, deleted at the end."""
        client: Any = DockerContainer(self._images["emitter"]).get_docker_client().client
        made = client.volumes.create()
        self._stack.callback(made.remove, force=True)
        return str(made.name)

    def secret(self, name: str) -> str:
        """A variable of .env."""
        return str(engine.described("cli", {})["environment"][name])

    def _container(self, name: str) -> DockerContainer:
        service = engine.described(name, self._variables)
        container = DockerContainer(self._images[name]).with_envs(
            **{key: str(value) for key, value in service["environment"].items()}
        )
        container.with_network(self._network).with_network_aliases(name)
        options = engine.as_options(service)
        if name in SPARK:
            container.with_volume_mapping(self._lake, "/var/lib/pipeline/lake", "rw")
            container.with_volume_mapping(self.volume(), f"/var/lib/pipeline/{name}", "rw")
        tmpfs = options.pop("tmpfs")
        for path, size in tmpfs.items():
            container.tmpfs[path] = size
        return container.with_kwargs(**options)
