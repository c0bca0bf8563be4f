"""Each service in turn dies at every start: its port is taken, or its folder damaged. The others serve on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from outages import port_is_taken
from pipeline_local.status import read_status
from pipeline_local.supervision import troubles
from stack import Stack
from waiting import wait_until

NEEDED_BY = {
    "kafka": {"mirror", "proxy", "s3-sink"},
    "localstack": {"mirror", "s3-sink", "stream-reader", "analyser"},
    "mirror": set(), "proxy": set(), "s3-sink": set(), "analyser": set(), "stream-reader": set(), "dashboard": set(),
}  # fmt: skip
"""Which services are not ready without it; they run on all the same."""
COMMANDS = {
    "kafka": ("consume", "user"), "localstack": ("send", "--path", "stream"), "proxy": ("send",),
    "s3-sink": ("analyse",), "analyser": ("analyse",), "stream-reader": ("popular",),
}  # fmt: skip
"""What cannot be done without it."""
SLOW = {"localstack", "analyser", "stream-reader"}
AT_ONCE_S = 60
"""A command of Python's on a machine that is busy; to wait for the service would be minutes."""


def services(stack: Stack) -> dict[str, dict[str, Any]]:
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


@pytest.mark.parametrize("service", list(NEEDED_BY))
def test_a_service_that_dies_at_every_start_leaves_the_others_serving(stack: Stack, service: str) -> None:
    before = services(stack)
    assert {name: one["state"] for name, one in before.items()} == dict.fromkeys(NEEDED_BY, "ready")
    status_file = stack.home / "status.json"

    def line() -> str | None:
        status = read_status(status_file)
        assert status is not None
        found = [one for one in troubles.lines(status) if one.startswith(f"{service} failed ")]
        return found[0] if len(found) == 1 and status.services[service].state == "failing" else None

    is_broken = folder_is_a_file if service in SLOW else port_is_taken
    with is_broken(stack, service):
        wait_until(f"{service} counts as failing", line, deadline_s=120)
        said = stack.pipeline("status", check=False)
        assert said.returncode == 1
        (told,) = [one for one in said.stdout.splitlines() if one.startswith(f"{service} failed ")]
        assert f"see `pipeline logs {service}`" in told
        after = services(stack)
        for name in set(NEEDED_BY) - {service}:
            assert after[name]["pid"] == before[name]["pid"], f"{name} was started again"
            assert after[name]["state"] == "ready" or name in NEEDED_BY[service], (name, after[name])
        if service in COMMANDS:
            began = time.monotonic()
            done = stack.pipeline(*COMMANDS[service], check=False)
            assert done.returncode not in {0, 2}, done.stdout
            assert f"{service} failed " in done.stderr
            assert time.monotonic() - began < AT_ONCE_S
    wait_until(
        "it comes back by itself",
        lambda: {one["state"] for one in services(stack).values()} == {"ready"},
        deadline_s=120,
        poll_s=0.5,
    )
