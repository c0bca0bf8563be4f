"""A real Chromium over the dashboard: what it complains of, what it asks of others, and what axe finds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import axe_playwright_python
import chromium
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, expect

type Scheme = Literal["light", "dark"]

SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDTHS = (1200, 390)
SERIOUS = {"serious", "critical"}
LIVE_MS = 5_000
"""Within this a number has moved that the pipeline has moved."""
_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")

expect.set_options(timeout=LIVE_MS)


def launched(playwright: Playwright) -> Browser:
    """A browser. Where there is none the test is skipped, or fails with CHROMIUM_REQUIRED=1."""
    program = chromium.program()
    if program is None:
        (pytest.fail if chromium.is_required() else pytest.skip)(f"no Chromium: {chromium.HOW}")
    return playwright.chromium.launch(executable_path=program, timeout=60_000)


@dataclass
class Tab:
    """One tab. ``complaints``: errors of the console and of scripts, requests that left the origin or were refused."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def opened(cls, page: Page, address: str) -> Self:
        """Begins to listen."""
        tab = cls(page, address)
        page.on("console", tab._console)
        page.on("pageerror", lambda error: tab.complaints.append(f"script: {error}"))
        page.on("request", tab._request)
        return tab

    def go(self, path: str) -> Page:
        """Open a page of the dashboard; blocks until it is parsed."""
        answer = self.page.goto(self.address + path, wait_until="domcontentloaded")
        assert answer is not None
        assert answer.ok, (path, answer.status)
        return self.page

    def shown(self) -> dict[str, str]:
        """The texts that move, by their names, as they are on the page now."""
        read = "all => Object.fromEntries(all.map(one => [one.dataset.live, one.textContent]))"
        found: dict[str, str] = self.page.locator("[data-live]").evaluate_all(read)
        return found

    def findings(self) -> list[str]:
        """What axe finds that is serious."""
        self.page.evaluate(_AXE)
        found: dict[str, Any] = self.page.evaluate("() => axe.run()")
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary'][:300]}"
            for one in found["violations"]
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]

    def is_as_wide_as_its_window(self) -> bool:
        """Whether nothing but a box of its own scrolls sideways."""
        wide: bool = self.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
        return wide

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self.address + "/"):
            self.complaints.append(f"request: {request.url}")


@contextmanager
def tab(
    browser: Browser, address: str, *, scheme: Scheme = "light", width: int = 1200, script: bool = True
) -> Iterator[Tab]:
    """A tab with an empty profile, closed at the end."""
    context = browser.new_context(
        viewport={"width": width, "height": 850},
        color_scheme=scheme,
        java_script_enabled=script,
        service_workers="block",
        reduced_motion="reduce",
    )
    context.set_default_timeout(15_000)
    try:
        yield Tab.opened(context.new_page(), address)
    finally:
        context.close()
