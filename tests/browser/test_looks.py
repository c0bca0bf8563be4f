"""Every page: readable in both schemes and at both widths, by keyboard, without script; hostile text is text."""

import itertools
from collections.abc import Iterator

import pytest
from browser import SCHEMES, WIDTHS, Scheme, Tab, tab
from dashboard.app import PAGES
from playwright.sync_api import Browser, expect
from stack import Stack

LOOKS = list(itertools.product(SCHEMES, WIDTHS))
FOCUSABLE = ("a[href]", "button", "input", "select", "summary", "[tabindex='0']")
FOCUS_LIMIT = 400
"""Presses of Tab until a page is through."""


@pytest.fixture(scope="module", params=LOOKS, ids=[f"{scheme}-{width}" for scheme, width in LOOKS])
def look(request: pytest.FixtureRequest, browser: Browser, address: str, filled: Stack) -> Iterator[Tab]:
    scheme, width = request.param
    with tab(browser, address, scheme=scheme, width=width) as opened:
        yield opened


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_and_nothing_is_cut(path: str, look: Tab) -> None:
    page = look.go(path)
    expect(page.locator("h1")).to_have_count(1)
    assert look.findings() == []
    assert look.is_as_wide_as_its_window()
    assert look.complaints == []


@pytest.mark.parametrize("path", PAGES)
def test_all_of_a_page_is_reached_by_keyboard_and_the_focus_is_seen(path: str, at: Tab, filled: Stack) -> None:
    page = at.go(path)
    reachable = page.locator(", ".join(f"{one}:visible" for one in FOCUSABLE))
    wanted = reachable.count()
    seen: list[int] = []
    for _ in range(FOCUS_LIMIT):
        page.keyboard.press("Tab")
        number, outlined = page.evaluate(
            """selector => {
              const all = [...document.querySelectorAll(selector)]
                .filter(one => one.checkVisibility());
              const style = getComputedStyle(document.activeElement);
              return [all.indexOf(document.activeElement),
                style.outlineStyle !== "none" || style.boxShadow !== "none" || style.borderStyle !== "none"];
            }""",
            ", ".join(FOCUSABLE),
        )
        if number in seen or number == -1:
            break
        assert outlined, f"{path}: element {number} has the focus and does not show it"
        seen.append(number)
    assert len(seen) == wanted, f"{path}: {wanted - len(seen)} of {wanted} are not reached"


@pytest.mark.parametrize("path", PAGES)
def test_without_script_a_page_says_the_same(path: str, browser: Browser, address: str, at: Tab, filled: Stack) -> None:
    titles = at.go(path).locator("h1, h2, h3").all_inner_texts()
    with tab(browser, address, script=False) as plain:
        page = plain.go(path)
        assert page.locator("h1, h2, h3").all_inner_texts() == titles
        assert page.locator("main").inner_text().strip()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_scheme_is_the_readers(scheme: Scheme, browser: Browser, address: str) -> None:
    with tab(browser, address, scheme=scheme) as opened:
        letters = opened.go("/").evaluate("() => getComputedStyle(document.body).color")
        red, green, blue = (int(part) for part in letters.strip("rgba()").split(",")[:3])
        assert (red + green + blue < 3 * 128) is (scheme == "light"), letters
