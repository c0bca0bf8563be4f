"""What each page shows is what the commands say of the same lake, and hostile text on it is text."""

import re
import time
from typing import Any

import pytest
from browser import Tab
from dashboard.app import PAGES
from hostile import HOSTILE
from pipeline_contracts.lake import ANSWERS
from playwright.sync_api import Page, expect
from service_kit.inert import visible
from stack import Stack, fates

READY_MS = 20_000
DRAWN_S = 30
"""Until the charts of a run are drawn."""


def plain(cell: str) -> str:
    """A cell without what groups digits."""
    return cell.replace(",", "") if re.fullmatch(r"[\d,]+(\.\d+)?", cell) else cell


def shown(value: object) -> str:
    """A value as a cell shows it: marks that are not seen are written out, runs of spaces are one."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.1f}"
    return " ".join(visible(str(value)).split()) if value is not None else "–"


def cells(page: Page, caption: str) -> list[list[str]]:
    """The rows of a table, by the beginning of its caption."""
    table = page.locator("table", has=page.locator("caption", has_text=caption)).first
    read = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    found: list[list[str]] = table.locator("tbody tr").evaluate_all(read)
    return found


def test_the_overview_counts_what_the_commands_count(at: Tab, filled: Stack) -> None:
    page = at.go("/")
    expect(page.locator("#at-answers")).to_have_attribute("data-state", "ready", timeout=READY_MS)
    quarantined = {path: filled.json("quarantine", "--path", path) for path in ("batch", "stream")}
    count = f"{sum(map(len, quarantined.values())):,}"
    expect(page.locator('[data-live="quarantined.text"]')).to_have_text(count, timeout=READY_MS)
    streamed = fates({"rows": [row for row in filled.json("audit", check=False)["rows"] if row["path"] == "stream"]})
    rows = sum(streamed[fate] for fate in ("current", "superseded", "repeated"))
    expect(page.locator('[data-live="tables.note"]')).to_have_text(f"{rows:,} rows", timeout=READY_MS)
    assert at.shown()["run.text"] == "succeeded"


@pytest.fixture(scope="module")
def answers(filled: Stack) -> dict[str, list[dict[str, Any]]]:
    return filled.answers()


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_that_of_the_command(name: str, at: Tab, answers: dict[str, list[dict[str, Any]]]) -> None:
    rows = answers[name]
    told = at.page.request.get(f"{at.address}/api/v1/answers/{name}?limit=1000").json()
    assert told["rows"] == rows
    assert told["next"] is None
    page = at.go(f"/answers/{name}")
    found = cells(page, ANSWERS[name].partition(". ")[2])
    # The page has age groups in the order of age, the command that of letters.
    assert sorted([plain(cell) for cell in row] for row in found) == sorted(
        [shown(cell) for cell in row.values()] for row in rows
    )


def test_every_question_is_on_one_page_with_its_chart(at: Tab, filled: Stack) -> None:
    page = at.go("/answers")
    for number_of_question in range(1, 9):
        expect(page.locator(f"#q{number_of_question}")).to_be_visible()
    deadline = time.monotonic() + DRAWN_S
    while page.locator(".answer-chart [data-state='loading']").count() and time.monotonic() < deadline:
        page.wait_for_timeout(1_000)
        page.reload(wait_until="domcontentloaded")
    assert page.locator(".answer-chart [data-state]").all_inner_texts() == []
    assert page.locator("figure.chart svg:visible").count() >= 8


@pytest.mark.parametrize("name", ["top_poster_by_country", "most_popular_category_by_country"])
def test_hostile_names_categories_and_countries_stand_in_the_answers(name: str, at: Tab, filled: Stack) -> None:
    page = at.go(f"/answers/{name}")
    for text in HOSTILE.values():
        assert page.get_by_text(visible(text[:100])).count() > 0, text


def test_who_is_popular_is_what_the_command_says(at: Tab, filled: Stack) -> None:
    page = at.go("/popular")
    profiles = filled.json("popular")["profiles"]
    wanted = [visible(one["poster_name"]) for one in profiles][:10]
    names = page.locator("table.ranking tbody th a")
    expect(names.first).to_have_text(wanted[0], timeout=READY_MS)
    assert names.all_inner_texts()[: len(wanted)] == [" ".join(name.split()) for name in wanted]
    names.nth(1).click()
    expect(page.locator("h1")).to_contain_text(wanted[1].split()[0])
    names = at.go("/popular?limit=100").locator("table.ranking tbody th a")
    assert {visible(text) for text in HOSTILE.values()} & set(names.all_inner_texts())


def test_what_is_in_quarantine_is_counted_and_its_text_is_redacted(at: Tab, filled: Stack) -> None:
    held = [row for path in ("batch", "stream") for row in filled.json("quarantine", "--path", path)]
    told = at.page.request.get(f"{at.address}/api/v1/quarantine/counts").json()
    assert sum(one["rows"] for one in told["counts"]) == len(held) > 0
    page = at.go("/records/quarantine")
    assert page.locator("tbody tr", has=page.locator("td.begins")).count() == min(len(held), 50)
    assert set(page.locator("td.begins").all_inner_texts()) == {"redacted"}


def test_the_verdict_is_that_of_the_newest_audit(at: Tab, filled: Stack) -> None:
    audit = filled.audit()
    assert audit["ok"], audit
    page = at.go("/")
    expect(page.locator('[data-live="audit.text"]')).to_have_text("Nothing lost", timeout=READY_MS)
    page = at.go("/audit")
    expect(page.locator(".verdict .said")).to_have_text("Nothing lost")
    told = page.request.get(f"{at.address}/api/v1/audit").json()
    for path in ("batch", "stream"):
        assert told["paths"][path]["rows"] == [row for row in audit["rows"] if row["path"] == path]


def test_the_address_bar_leads_to_no_page_of_somebody_else(at: Tab) -> None:
    """Every link of every page stays here, but for Airflow's page."""
    for path in PAGES:
        page = at.go(path)
        links = page.locator("a[href]").evaluate_all("all => all.map(one => one.href)")
        elsewhere = [link for link in links if not link.startswith(at.address)]
        assert all(":" in link and link.startswith("http://127.0.0.1:") for link in elsewhere), (path, elsewhere)


@pytest.mark.parametrize("path", PAGES)
def test_hostile_text_is_text(path: str, at: Tab, filled: Stack) -> None:
    """Whatever a page shows of it: no element was made of it, no script ran, no mark turns other text."""
    page = at.go(path)
    expect(page.locator("h1")).to_have_count(1)
    assert "owned" not in page.title()
    assert page.locator("main img, main script, main iframe, main object").count() == 0
    text = page.locator("body").inner_text()
    assert not [mark for mark in ("\u202e", "\u202d", "\u2066", "\u200b") if mark in text]
