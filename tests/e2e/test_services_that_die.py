"""Each service in turn dies at every start: its port is taken, or its folder damaged. The others serve on."""

import time

import pytest
from dying import await_failing, folder_is_a_file, others_must_serve, services
from outages import port_is_taken
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


@pytest.mark.parametrize("service", list(NEEDED_BY))
def test_a_service_that_dies_at_every_start_leaves_the_others_serving(stack: Stack, service: str) -> None:
    before = services(stack)
    assert {name: one["state"] for name, one in before.items()} == dict.fromkeys(NEEDED_BY, "ready")
    is_broken = folder_is_a_file if service in SLOW else port_is_taken
    with is_broken(stack, service):
        await_failing(stack, service)
        others_must_serve(stack, service, before, NEEDED_BY[service])
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
