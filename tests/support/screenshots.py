"""Makes the picture of the README: the dashboard's first page over an installation of its own.

Usage: .venv/bin/python tests/support/screenshots.py      (``make screenshots``)

Events are the seeded generator's, as in ``pipeline demo``: anybody gets the same picture, but for times and rates.
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from browser import launched, tab
from playwright.sync_api import Browser, expect, sync_playwright
from stack import ROOT, Stack

EVENTS: Final = 10_000
RATE: Final = 200
PICTURE: Final = ROOT / "docs" / "images" / "overview.png"
HEIGHT: Final = 800
LARGEST: Final = 150 * 1024
READY_MS: Final = 60_000
MOVES: Final = re.compile(r"[1-9]\d* ")
"""A rate of more than one in ten seconds."""


def main() -> int:
    """Run the system, take the picture while events flow, stop; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launched(playwright)
        with Stack(Path(folder) / "state") as stack:
            stack.pipeline("send", "--events", str(EVENTS), "--path", "both")
            stack.pipeline("analyse")
            stack.audit()
            take(browser, stack)
        browser.close()
    size = PICTURE.stat().st_size
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}: {size // 1024} KiB\n")
    return 0 if size <= LARGEST else 1


def take(browser: Browser, stack: Stack) -> None:
    """The picture of an installation that has answers, while more events flow down both paths."""
    sending = stack.start("send", "--events", str(EVENTS), "--seed", "2", "--rate", str(RATE), "--path", "both")
    try:
        with tab(browser, stack.pipeline("open", "--print").stdout.strip()) as opened:
            page = opened.go("/")
            for number in ("proxy.rate", "s3-sink.rate", "stream-reader.rate"):
                moving = page.locator(f'[data-live="{number}"]').first
                expect(moving).to_have_text(MOVES, timeout=READY_MS)
            page.screenshot(path=PICTURE, clip={"x": 0, "y": 0, "width": 1200, "height": HEIGHT})
    finally:
        sending.terminate()
        sending.communicate(timeout=60)


if __name__ == "__main__":
    sys.exit(main())
