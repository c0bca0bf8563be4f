"""What a command needs to run: said at once where it is not there, also while the command waits for it."""

from collections.abc import Callable
from typing import Final

from pipeline_local.installation import Installation, InstallationError
from pipeline_local.supervision import troubles

ARCHIVE: Final = ("kafka", "localstack", "s3-sink")
"""Records reach objects."""
STREAM: Final = ("localstack", "stream-reader")
"""Records reach the stream tables."""
READ_BY_AUDIT: Final = {"batch": ("kafka", "localstack"), "stream": ("localstack",)}
GATEWAY: Final = {"batch": ("kafka", "localstack", "proxy"), "stream": ("localstack",)}
"""Events are accepted, by path. Not the mirror: what it has made stays without it."""


def must_serve(installation: Installation, *services: str) -> None:
    """Raise if waiting for services is in vain: nothing runs, or one of them needs a person's help.

    A service that is on its way, or runs and is not ready, may be waited for. Whether a container runs is not known
    here: the command that misses a service names it.

    Raises:
        InstallationError: in lines that say which, what it said last, when it is retried, and what to do.
    """
    if not installation.runs:
        raise InstallationError(installation.why_not_running)
    may_go_on(installation, *services)


def may_go_on(installation: Installation, *services: str) -> None:
    """``must_serve`` for a running command; it allows for a killed supervisor, whose services still run.

    Raises:
        InstallationError: it is being stopped, or was; or as ``must_serve``.
    """
    status = installation.status
    if status is None:
        return
    if installation.is_stopped:
        raise InstallationError("`pipeline down` stops the services; `pipeline up` starts them again")
    if found := troubles.hindrances(status, services):
        raise InstallationError("\n".join(found))


def watching(installation: Installation, *services: str) -> Callable[[], None]:
    """``must_serve`` as a function to call in a waiting loop."""
    return lambda: must_serve(installation, *services)
