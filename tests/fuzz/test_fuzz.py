"""A short round of the fuzzer, with one seed: ``make fuzz`` has more."""

from pathlib import Path

import pytest
from fuzzing.campaign import Campaign
from stack import Stack

SEED = 21
SECONDS = 20.0


@pytest.mark.embedded
def test_no_request_and_no_bytes_stop_or_lose_anything(tmp_path: Path) -> None:
    with Stack(tmp_path / "state") as stack:
        assert Campaign(stack, tmp_path, SEED, print).round(SECONDS) == []
