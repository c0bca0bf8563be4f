"""Pages of lists: whatever is listed, in pages of any size, forwards and back."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from batch_analyser.service.api import create_app
from batch_analyser.service.arguments import ApiError
from batch_analyser.service.pages import Cursor, page_of
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import Worker
from fake_tasks import FakeTasks, call
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts.names import Names
from pydantic import SecretStr
from service_kit.clock import ManualClock

RUNS = 7


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """Of some runs of two kinds, all over."""
    store = RunStore(tmp_path_factory.mktemp("state") / "runs.sqlite", ManualClock())
    for number in range(RUNS):
        run, _ = store.add("x-batch", {"ingest": {}}, {}, run_type="JOB_RUN" if number % 3 else "SUBMIT_RUN")
        store.end_early(run.run_id, "CANCELED")
    app = create_app(store, Worker(store, FakeTasks().all(), 3), Names("x"), SecretStr("secret"), "http://here")
    yield app.test_client()
    store.close()


@given(st.sets(st.integers(1, 60)), st.integers(1, 7))
@settings(deadline=None)
def test_pages_forwards_and_back_hold_each_entry_once(ids: set[int], limit: int) -> None:
    numbers = sorted(ids)

    def select(cursor: Cursor, most: int) -> Sequence[int]:
        if cursor.before is not None:
            return [number for number in numbers if number < cursor.before][-most:]
        return [number for number in numbers if number > (cursor.behind or 0)][:most]

    pages: list[Sequence[int]] = []
    token, back = "", ""
    while not pages or token:
        page = page_of({"limit": limit, "page_token": token}, select, int, usual=20, most=100)
        pages.append(page.entries)
        token, back = page.more.get("next_page_token", ""), page.more.get("prev_page_token", "")
        assert page.more["has_more"] == bool(token)
        assert bool(back) == (len(pages) > 1)
    assert [number for entries in pages for number in entries] == numbers
    for entries in reversed(pages[:-1]):
        page = page_of({"limit": limit, "page_token": back}, select, int, usual=20, most=100)
        assert page.entries == entries
        back = page.more.get("prev_page_token", "")
    assert back == ""


@pytest.mark.parametrize("query", ["runs/list?limit=2&run_type=JOB_RUN", "runs/list?limit=3", "list?limit=1"])
def test_both_lists_have_tokens_in_both_directions(client: FlaskClient, query: str) -> None:
    def page(token: str) -> Any:
        return call(client, "GET", f"/2.2/jobs/{query}&page_token={token}")

    pages = [page("")]
    while "next_page_token" in pages[-1]:
        pages.append(page(pages[-1]["next_page_token"]))
    assert len(pages) > 1
    assert "prev_page_token" not in pages[0]
    assert [page(after["prev_page_token"]) for after in pages[1:]] == pages[:-1]


@pytest.mark.parametrize("token", ["1", "next:", "next:x", "next:-1", "next:٣", f"previous:{2**63}", "before:1", " "])
def test_a_token_that_no_list_gave_is_refused(token: str) -> None:
    with pytest.raises(ApiError, match="page_token"):
        page_of({"page_token": token}, lambda *_: [], int, usual=20, most=100)
