"""One running installation, as processes, and one browser for all tests of the dashboard's pages."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from browser import Tab, launched, tab
from hostile import write_hostile
from playwright.sync_api import Browser, sync_playwright
from stack import Stack

EVENTS = 900


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Without Chromium these tests are skipped, and say so."""
    with sync_playwright() as playwright:
        made = launched(playwright)
        yield made
        made.close()


@pytest.fixture(scope="session")
def stack(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Up, and empty: nothing was sent. ``browser`` first, so that nothing is started for tests that are skipped."""
    with Stack(tmp_path_factory.mktemp("browser") / "state") as running:
        yield running


@pytest.fixture(scope="session")
def filled(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """With events of both paths, answers, popular profiles, an audit; some of the posts are hostile."""
    stack.pipeline("send", "--events", str(EVENTS), "--path", "both")
    hostile = write_hostile(tmp_path_factory.mktemp("hostile"))
    stack.pipeline("send", "--source", str(hostile), "--path", "both")
    stack.pipeline("analyse")
    audit = stack.audit()
    assert audit["ok"], audit
    return stack


@pytest.fixture(scope="session")
def address(stack: Stack) -> str:
    """Where the dashboard is."""
    return stack.pipeline("open", "--print").stdout.strip()


@pytest.fixture
def at(browser: Browser, address: str) -> Iterator[Tab]:
    """A tab with a light scheme at full width, in which nothing may be amiss at the end."""
    with tab(browser, address) as opened:
        yield opened
        assert opened.complaints == []


@pytest.fixture
def browser_tab(browser: Browser, address: str) -> Iterator[Callable[[], Tab]]:
    """Opens tabs whose complaints the test judges itself."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(tab(browser, address))
