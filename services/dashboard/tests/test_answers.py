"""The answers' pages and resources: they show what the lake holds, in every state, and nothing that acts."""

import csv
import html
import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from dashboard.api import answers as api
from dashboard.charts.drawn import Pictures
from dashboard.charts.specs import has_chart
from dashboard.lake.answers import MOST_ROWS
from dashboard.lake.answers_watch import AnswersWatch
from dashboard.lake.reader import LakeReader
from dashboard.pages import answers as page
from dashboard.pages.questions import COLUMNS, QUESTIONS
from dashboard.words import number
from dashboard_frame import FrameOfTests
from delta_tables import GOLD, write_answers
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_contracts.lake import ANSWERS, RUNS, gold
from service_kit.inert import visible

EMPTY: Mapping[str, list[tuple[Any, ...]]] = {name: [] for name in GOLD}
HOSTILE = [
    "<script>alert(1)</script>",
    "evil\u202egnp",
    "=1+1",
    "  @SUM(1)",
    "\x1b[31m",
    '"',
    "a\nb",
    "&lt;",
    "{{7*7}}",
]
TAGS = {"html", "head", "meta", "title", "link", "script", "body", "a", "header", "img", "span", "b", "nav", "main"}
TAGS |= {"h1", "h2", "h3", "p", "div", "dl", "dt", "dd", "time", "ol", "li", "section", "figure", "svg", "rect", "ul"}
TAGS |= {"table", "caption", "thead", "tbody", "tr", "th", "td", "footer", "code"}
NAMES = st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=10)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "country": NAMES,
    "category": NAMES,
    "poster_name": NAMES,
    "age_group": st.sampled_from(["under 18", "18-24", "25-35", "36-50", "+50"]),
    "post_year": st.integers(1, 2100),
    "category_count": st.integers(1, 2**62),
    "follower_count": st.integers(0, 2**62),
    "number_users_joined": st.integers(1, 2**62),
    "median_follower_count": st.floats(0, 1e15),
}


def key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:-1]


GENERATED = st.fixed_dictionaries(
    {
        name: st.lists(st.tuples(*(VALUES[column] for column in columns)), max_size=6, unique_by=key)
        for name, columns in GOLD.items()
    }
)


class NoDrawer:
    def draw(self, asked: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        text = (
            '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" viewBox="0 0 9 9"><rect fill="none"/></svg>'
        )
        return dict.fromkeys(asked, text)


class Looked:
    """The pages over a lake, which looks when it is told to."""

    def __init__(self, root: Path) -> None:
        self.frame = FrameOfTests()
        self.lake = AnswersWatch(LakeReader(root.as_uri()), self.frame.clock)
        self.pictures = Pictures(self.lake.answers, NoDrawer(), self.frame.clock)
        made = [page.blueprint(self.lake, self.pictures), api.blueprint(self.lake)]
        self.client: FlaskClient = self.frame.app(made).test_client()

    def look(self) -> None:
        self.frame.clock.sleep(31)
        self.lake.look()
        self.pictures.look()

    def page(self) -> str:
        answer = self.client.get("/answers")
        assert answer.status_code == 200
        return html.unescape(answer.text)


class Cells(HTMLParser):
    """The cells of each table of a page, by the table's caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: set[str] = set()
        self._caption = ""
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag == "caption":
            self._caption = ""
        elif tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        elif tag == "td":
            self.tables[self._caption][-1].append("")
        self._in = tag if tag in {"caption", "td"} else self._in

    def handle_endtag(self, tag: str) -> None:
        if tag == self._in:
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "caption":
            self._caption += data
        elif self._in == "td":
            self.tables[self._caption][-1][-1] += data


def shown(row: tuple[Any, ...], columns: tuple[str, ...]) -> list[str]:
    return [
        number(value) if COLUMNS[column][1] == "num" else visible(str(value))
        for column, value in zip(columns, row, strict=True)
    ]


def in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: [part.encode() if isinstance(part, str) else part for part in key(row)])


@given(GENERATED, st.integers(1, 4))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_pages_and_resources_show_the_rows_of_gold(generated: dict[str, list[tuple[Any, ...]]], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_id = write_answers(Path(folder), generated, posts=12_345)
        looked = Looked(Path(folder))
        looked.look()
        text = looked.client.get("/answers").text
        assert "12,345 posts" in text
        assert "evil\u202e" not in text
        cells = Cells(text)
        assert cells.tags <= TAGS
        for name, rows in generated.items():
            columns, expected = GOLD[name], in_order(rows)
            if rows:
                caption = f"{ANSWERS[name].partition('. ')[2]}: all rows"
                assert sorted(cells.tables[caption][1:]) == sorted(shown(row, columns) for row in rows)
                alone = Cells(looked.client.get(f"/answers/{name}").text)
                assert sorted(next(iter(alone.tables.values()))[1:]) == sorted(shown(row, columns) for row in rows)
            url: str | None = f"/api/v1/answers/{name}?limit={limit}"
            found, texts = [], []
            while url is not None:
                answer = looked.client.get(url)
                assert answer.get_json()["run"]["run_id"] == run_id
                found += [tuple(row.values()) for row in answer.get_json()["rows"]]
                link = answer.headers.get("Link")
                url = None if link is None else link.removeprefix("<").partition(">")[0]
                texts.append(answer.get_json()["next"])
            assert found == expected
            assert texts[-1] is None
            exact = csv_of(looked.client.get(f"/api/v1/answers/{name}?limit=1000&format=csv").data)
            assert exact == [list(columns), *([str(value) for value in row] for row in expected)]
            whole = looked.client.get(f"/answers/{name}.csv")
            assert csv_of(whole.data) == exact
            assert whole.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
            harmless = csv_of(looked.client.get(f"/answers/{name}.csv?safe=1").data)
            for exact_row, row in zip(exact, harmless, strict=True):
                for before, after in zip(exact_row, row, strict=True):
                    assert after in {before, f"'{before}"}
                    assert not after.lstrip(" ").startswith(("=", "@", "\t", "\r", "\n")) or after.startswith("'")
            assert looked.client.get(f"/answers/{name}.json").get_json()["rows"] == [
                dict(zip(columns, row, strict=True)) for row in expected
            ]


def test_long_text_is_cut_on_the_page_and_whole_in_the_file(tmp_path: Path) -> None:
    name = "y" * 100_000
    write_answers(tmp_path, {**EMPTY, "top_poster_by_country": [(name, name, 1)], "country_of_top_poster": [(name, 1)]})
    looked = Looked(tmp_path)
    looked.look()
    assert 0 < len(looked.page()) < 30_000
    assert csv_of(looked.client.get("/answers/country_of_top_poster.csv").data)[1] == [name, "1"]


def csv_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))


def test_the_states_in_turn(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    looked = Looked(root)
    assert 'data-state="loading"' in looked.page()
    assert looked.client.get("/api/v1/answers").status_code == 503
    looked.look()
    assert "No analysis has ended yet" in looked.page()
    assert "<code>pipeline analyse</code>" in looked.page()
    empty = looked.client.get("/api/v1/answers/users_joined_by_year")
    assert (empty.status_code, "pipeline analyse" in empty.get_json()["message"]) == (404, True)

    write_answers(root, {**EMPTY, "users_joined_by_year": [(2015, 3)]})
    looked.lake.look()
    assert "The chart is being drawn" in looked.page()
    looked.look()
    assert "<svg" in looked.page()
    assert looked.client.get("/api/v1/answers").get_json()["state"] == "fresh"

    log = next((root / RUNS / "_delta_log").glob("*.json"))
    whole = log.read_bytes()
    log.write_bytes(b"{")
    looked.look()
    text = looked.page()
    assert f"Not updated:</b> the table {RUNS} is damaged" in text
    assert "3 users joined in 1 year" in text
    assert looked.client.get("/api/v1/answers").get_json()["state"] == "stale"
    log.write_bytes(whole)
    looked.look()
    assert looked.client.get("/api/v1/answers").get_json()["state"] == "fresh"

    data = next((root / gold("users_joined_by_year")).glob("*.parquet"))
    content = data.read_bytes()
    data.unlink()
    looked.look()
    assert "the next analysis computes it anew" in looked.page()
    data.write_bytes(content)
    looked.look()
    assert looked.client.get("/api/v1/answers").get_json()["state"] == "fresh"

    shutil.rmtree(root)
    looked.look()
    assert "No analysis has ended yet" in looked.page()
    write_answers(root, {**EMPTY, "users_joined_by_year": [(2016, 4)]}, of="run-9")
    looked.look()
    assert "holds another run's rows" in looked.page()
    shutil.rmtree(root)
    write_answers(root, {**EMPTY, "users_joined_by_year": [(2016, 4)]}, 2)
    looked.look()
    assert "4 users joined in 1 year" in looked.page()


def test_without_a_lake_the_page_says_so() -> None:
    looked = Looked(Path("/nowhere"))
    looked.lake.reader._uri = ""
    looked.look()
    assert "no lake is named: set LAKE_URI" in looked.page()


def test_a_cursor_is_of_its_run_and_of_its_answer(tmp_path: Path) -> None:
    rows = {**EMPTY, "users_joined_by_year": [(2015, 3), (2016, 4)], "country_of_top_poster": [("A", 1), ("B", 1)]}
    write_answers(tmp_path, rows)
    looked = Looked(tmp_path)
    looked.look()
    url = "/api/v1/answers/users_joined_by_year"
    following = looked.client.get(f"{url}?limit=1").get_json()["next"]
    assert looked.client.get(f"{url}?after={following}").get_json()["rows"] == [
        {"post_year": 2016, "number_users_joined": 4}
    ]
    assert looked.client.get(f"/api/v1/answers/country_of_top_poster?after={following}").status_code == 400
    write_answers(tmp_path, rows, 2)
    looked.look()
    assert looked.client.get(f"{url}?after={following}").status_code == 409
    assert looked.client.get(f"/answers/users_joined_by_year?after={following}").status_code == 409
    for query in (
        "limit=0",
        "limit=1001",
        "format=xml",
        "safe=2&format=csv",
        "offset=1",
        "after=",
        "after=%F0",
    ):
        assert looked.client.get(f"{url}?{query}").status_code == 400, query
    assert looked.client.get("/api/v1/answers/nothing").status_code == 404
    assert looked.client.get("/answers/nothing").status_code == 404
    assert looked.client.get("/answers/nothing.csv").status_code == 404


@given(st.text(st.characters(codec="ascii"), max_size=30) | st.binary(max_size=30).map(lambda data: data.hex()))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_no_cursor_is_refused(one: "Looked", text: str) -> None:
    answer = one.client.get("/api/v1/answers/users_joined_by_year", query_string={"after": text})
    assert answer.status_code == 400


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Looked:
    root = tmp_path_factory.mktemp("lake")
    write_answers(root, {**EMPTY, "users_joined_by_year": [(2015, 3)]})
    looked = Looked(root)
    looked.look()
    return looked


def test_a_large_answer_is_paged_by_key_everywhere(tmp_path: Path) -> None:
    name = "most_popular_category_by_country"
    many = [(f"country {number:06}", "art", 1) for number in range(MOST_ROWS + 1_200)]
    write_answers(tmp_path, {**EMPTY, name: many})
    looked = Looked(tmp_path)
    looked.look()
    assert f"the first 10 of {len(many):,} rows" in looked.page()
    assert f"From the first {MOST_ROWS:,} of {len(many):,} rows." in looked.page()
    url, countries = f"/answers/{name}", []
    while url:
        text = looked.client.get(url).text
        countries += [row[0] for row in next(iter(Cells(text).tables.values()))[1:]]
        url = text.partition('" rel="next"')[0].rpartition('href="')[2] if 'rel="next"' in text else ""
    assert countries == [row[0] for row in many]
    assert len(looked.client.get(f"/answers/{name}.json").get_json()["rows"]) == len(many)


def test_a_browser_that_has_the_run_gets_304(one: Looked) -> None:
    for path in ("/api/v1/answers", "/api/v1/answers/users_joined_by_year", "/answers/users_joined_by_year.csv"):
        first = one.client.get(path)
        again = one.client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (first.status_code, again.status_code, again.data) == (200, 304, b""), path


def test_every_answer_is_asked_for_once_and_every_column_has_a_title() -> None:
    assert [name for question in QUESTIONS for name in question.tables] == list(ANSWERS)
    assert [question.number for question in QUESTIONS] == [str(number) for number in range(1, 9)]
    assert {column for columns in GOLD.values() for column in columns} == set(COLUMNS)
    assert [name for name in ANSWERS if not has_chart(name)] == ["country_of_top_poster"]
    described = json.loads((Path(api.__file__).parent / "openapi" / "answers.json").read_text())
    assert described["paths"]["/api/v1/answers/{name}"]["get"]["parameters"][1]["schema"]["maximum"] == api.MOST
