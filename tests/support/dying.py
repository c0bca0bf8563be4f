"""A service that dies at every start, and what must be true of the others meanwhile."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline_local.status import read_status
from pipeline_local.supervision import troubles
from stack import Stack
from waiting import wait_until


def services(stack: Stack) -> dict[str, dict[str, Any]]:
    """The services as ``status`` has them."""
    found: dict[str, dict[str, Any]] = stack.json("status", check=False)["services"]
    return found


@contextmanager
def folder_is_a_file(stack: Stack, service: str) -> Iterator[None]:
    """A damaged state, of those that take long until they see that their port is taken."""
    folder, aside = stack.home / service, stack.home / "scratch" / service
    aside.parent.mkdir(exist_ok=True)
    folder.rename(aside)
    folder.touch()
    stack.kill(service)
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


def await_failing(stack: Stack, service: str) -> None:
    """Block until it counts as failing and has exactly one line."""
    status_file = stack.home / "status.json"

    def line() -> str | None:
        status = read_status(status_file)
        assert status is not None
        found = [one for one in troubles.lines(status) if one.startswith(f"{service} failed ")]
        return found[0] if len(found) == 1 and status.services[service].state == "failing" else None

    wait_until(f"{service} counts as failing", line, deadline_s=120)


def others_must_serve(stack: Stack, service: str, before: dict[str, dict[str, Any]], needing: Collection[str]) -> None:
    """``status`` has one line for the service; the others were not restarted, and all but ``needing`` are ready."""
    said = stack.pipeline("status", check=False)
    assert said.returncode == 1
    (told,) = [one for one in said.stdout.splitlines() if one.startswith(f"{service} failed ")]
    assert f"see `pipeline logs {service}`" in told
    after = services(stack)
    for name in set(before) - {service}:
        assert after[name]["pid"] == before[name]["pid"], f"{name} was started again"
        assert after[name]["state"] == "ready" or name in needing, (name, after[name])
