"""``make fuzz MINUTES=n SEED=s``: a fresh installation, rounds of a minute each, and exit code 1 on any fault.

``CASE=surface/number`` runs that case alone.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from stack import Stack
from waiting import wait_until

from fuzzing.campaign import Campaign

ROUND_S = 60.0
START_S = 900.0


class Patient(Stack):
    """An installation that may take long to start, where the machine does other work at night."""

    def up(self) -> None:
        """Start it, and block until all of it is ready."""
        self.pipeline("up", check=False)
        wait_until("all is ready", lambda: self.json("status", check=False)["state"] == "ready", START_S, poll_s=5)


def main() -> int:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long to send, without start and rest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", help="SURFACE/NUMBER: this case alone")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        home = Path(folder) / "state"
        with Patient(home) as stack:
            campaign = Campaign(stack, Path(folder), asked.seed, say)
            if asked.case:
                surface, _, number = asked.case.partition("/")
                faults = len(campaign.replay(surface, int(number)))
            else:
                faults = rounds(campaign, asked.minutes * 60)
    say(f"fuzz: {faults} faults, seed {asked.seed}")
    return 1 if faults else 0


def rounds(campaign: Campaign, seconds: float) -> int:
    """Rounds until the time is over; how many faults they found."""
    faults = 0
    while seconds > 0:
        begun = time.monotonic()
        faults += len(campaign.round(min(ROUND_S, seconds)))
        seconds -= min(ROUND_S, time.monotonic() - begun)
    return faults


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
