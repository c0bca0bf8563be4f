"""Which stream: a stream deleted and recreated under one name is another one."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class StreamId:
    """ARN and time of creation."""

    arn: str
    created_ms: int

    @property
    def created(self) -> str:
        """The time of creation for people, and in milliseconds."""
        moment = datetime.fromtimestamp(self.created_ms / 1000, UTC)
        return f"{moment.isoformat(timespec='milliseconds')} ({self.created_ms})"
