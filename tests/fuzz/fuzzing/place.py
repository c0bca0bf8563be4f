"""Where the doors of one running installation are, and what opens them."""

from dataclasses import dataclass
from pathlib import Path

from pipeline_contracts.names import Names
from stack import Stack

OPERATED = ("dashboard", "proxy", "analyser", "s3-sink", "stream-reader", "mirror")
"""Services with the four operational routes."""


@dataclass(frozen=True)
class Place:
    """Addresses by service, and keys. ``secrets`` may stand in no answer and in no log."""

    home: Path
    names: Names
    urls: dict[str, str]
    gateway_url: str
    localstack_url: str
    kafka: str
    gateway_key: str
    admin_key: str
    analyser_token: str

    @classmethod
    def of(cls, stack: Stack) -> "Place":
        """Ask the ``pipeline`` command."""
        told = stack.json("env")
        ports = stack.environment
        return cls(
            home=stack.home,
            names=Names(),
            urls={one: f"http://127.0.0.1:{ports[f'{one.upper().replace("-", "_")}_PORT']}" for one in OPERATED},
            gateway_url=told["GATEWAY_URL"],
            localstack_url=told["AWS_ENDPOINT_URL"],
            kafka=told["KAFKA_BOOTSTRAP_SERVERS"],
            gateway_key=told["GATEWAY_API_KEY"],
            admin_key=told["GATEWAY_ADMIN_KEY"],
            analyser_token=told["ANALYSER_TOKEN"],
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """All keys and tokens."""
        return (self.gateway_key, self.admin_key, self.analyser_token)
