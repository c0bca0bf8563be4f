"""An installation to which nothing was sent. First by its name: the other tests send."""

import re

import pytest
from browser import Tab
from dashboard.app import PAGES
from playwright.sync_api import expect
from stack import Stack

READY_MS = 15_000
COMMAND = re.compile(r"^pipeline [a-z]+")


def test_every_station_is_ready_and_what_is_left_out_is_named(at: Tab, stack: Stack) -> None:
    page = at.go("/")
    names = {item.removesuffix(".state") for item in at.shown() if item.endswith(".state")}
    assert {"gateway", "proxy", "kafka", "s3-sink", "kinesis", "stream-reader", "analyser"} <= names
    for name in ("gateway", "proxy", "kafka", "s3-sink", "kinesis", "analyser", "mirror"):
        expect(page.locator(f"#at-{name}")).to_have_attribute("data-state", "ready", timeout=READY_MS)
    expect(page.locator("#at-airflow")).to_have_attribute("data-state", "left out")


@pytest.mark.parametrize("path", sorted(set(PAGES) - {"/", "/records"}))
def test_what_is_empty_says_so_with_the_command_that_fills_it(path: str, at: Tab) -> None:
    page = at.go(path)
    notice = page.locator('[data-state="empty"] code').first
    expect(notice).to_be_visible()
    assert COMMAND.match(notice.inner_text()), notice.inner_text()
    assert page.locator("h1").count() == 1


def test_an_empty_quarantine_is_empty_and_nothing_need_fill_it(at: Tab) -> None:
    page = at.go("/records")
    expect(page.locator('[data-state="empty"]').first).to_contain_text("Nothing is held in quarantine")
    assert page.locator("h1").count() == 1


def test_nothing_was_audited_and_no_run_has_ended(at: Tab) -> None:
    at.go("/")
    shown = at.shown()
    assert "not audited" in shown["audit.text"].lower()
    assert shown["run.text"] not in {"succeeded", "failed"}
