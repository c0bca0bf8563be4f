"""Charts: what they show, that they draw, and that nothing but a drawing comes out."""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

import psutil
import pytest
import vl_convert
from dashboard.blocks import Kept
from dashboard.charts import specs, svg
from dashboard.charts.draw import Drawer, DrawingError
from dashboard.charts.drawn import Pictures
from dashboard.charts.svg import UnsafeSvgError
from dashboard.lake.answers import AGE_GROUPS, Answer, Answers
from dashboard.lake.runs import Run
from delta_tables import FIRST, GOLD, POLICIES
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts.lake import ANSWERS
from pipeline_transforms import ages
from service_kit.clock import ManualClock
from service_kit.inert import visible

HOSTILE = ["<img src=x onerror=alert(1)>", "</text><script>", "evil\u202egnp", "\x1b[31m", "\u2067"]
HOSTILE += ["é" * 300, "😀مرحبا", "&amp;", "", '"', "\\", "datum.value"]
NAMES = st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=15)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "country": NAMES,
    "category": NAMES,
    "poster_name": NAMES,
    "age_group": st.sampled_from(AGE_GROUPS),
    "post_year": st.integers(1, 2100),
    "category_count": st.integers(1, 2**62),
    "follower_count": st.integers(0, 2**62),
    "number_users_joined": st.integers(1, 2**62),
    "median_follower_count": st.floats(0, 1e15),
}
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" viewBox="0 0 9 9">{}</svg>'
MARK = '<path role="graphics-symbol" aria-label="a &lt;b&gt;" fill="var(--chart-1)" d="M0,0h1.23456v1"/>'


def key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:-1]


def answer(name: str, rows: list[tuple[Any, ...]]) -> Answer:
    ordered = sorted(rows, key=key)
    found = tuple(dict(zip(GOLD[name], row, strict=True)) for row in ordered)
    return Answer(name, ANSWERS[name], 0, GOLD[name], found, len(found))


def run(run_id: str = "run-1") -> Run:
    return Run(run_id, FIRST, FIRST, POLICIES, {}, {})


@st.composite
def generated(draw: st.DrawFn) -> Answer:
    name = draw(st.sampled_from([name for name in GOLD if specs.has_chart(name)]))
    rows = st.tuples(*(VALUES[column] for column in GOLD[name]))
    return answer(name, draw(st.lists(rows, min_size=1, max_size=40, unique_by=key)))


@given(generated(), st.sampled_from([specs.WIDE, specs.NARROW]))
@settings(max_examples=80, deadline=None)
def test_any_answer_is_drawn_inert_bounded_and_within_its_width(found: Answer, width: int) -> None:
    chart = specs.chart(found)
    assert chart is not None
    drawn = svg.checked(vl_convert.vegalite_to_svg(json.loads(json.dumps(chart.of(width)))), "one", chart.label)
    root = ET.fromstring(drawn)
    # A little more is scaled down, and leaves the smallest text at 11 pixels.
    assert float(root.attrib["width"]) <= width * 12 / 11
    assert {element.tag for element in root.iter()} <= svg._ELEMENTS | {"title"}
    said = "".join(root.itertext())
    assert said == visible(said)
    assert len(list(root.iter("title"))) <= specs.MOST * len(AGE_GROUPS)
    sizes = {text.attrib["font-size"] for text in root.iter("text")}
    assert sizes <= {"12px"}


def test_a_bar_for_each_row_tells_the_rows_own_number() -> None:
    joined = answer("users_joined_by_year", [(1999, 1), (2015, 1_234_567)])
    chart = specs.chart(joined)
    assert chart is not None
    drawn = svg.checked(vl_convert.vegalite_to_svg(chart.of(specs.WIDE)), "one", chart.label)
    titles = [title.text for title in ET.fromstring(drawn).iter("title")]
    assert titles == ["1999: 1 users joined", "2015: 1,234,567 users joined"]


def test_categories_are_ranked_by_the_countries_that_they_lead() -> None:
    rows = [("A", "art", 3), ("B", "art", 2), ("B", "food", 2), ("C", "food", 1), ("D", "art", 1), ("E", "diy", 1)]
    found = answer("most_popular_category_by_country", rows)
    assert specs.led(found.rows) == {"art": (2, 1), "food": (1, 1), "diy": (1, 0)}
    chart = specs.chart(found)
    assert chart is not None
    assert [bar["told"] for bar in chart.of(600)["data"]["values"]] == [
        "art: leads 2 countries alone, shares the first place in 1",
        "food: leads 1 countries alone, shares the first place in 1",
        "diy: leads 1 countries alone, shares the first place in 0",
    ]


def test_a_chart_says_which_part_of_the_answer_it_shows() -> None:
    many = answer("users_joined_by_year", [(year, 1) for year in range(1900, 1950)])
    chart = specs.chart(many)
    assert chart is not None
    values = chart.of(specs.WIDE)["data"]["values"]
    assert [value["label"] for value in values] == [str(year) for year in range(1920, 1950)]
    assert chart.note == "The chart shows the newest 30 of 50 years."
    assert specs.chart(answer("users_joined_by_year", [])) is None


def test_years_that_do_not_follow_each_other_are_not_joined() -> None:
    medians = answer("median_followers_by_join_year", [(2015, 1.0), (2016, 2.0), (2019, 3.0)])
    chart = specs.chart(medians)
    assert chart is not None
    assert [value["chain"] for value in chart.of(600)["data"]["values"]] == [2015, 2015, 2019]


def test_age_groups_stand_by_age() -> None:
    medians = answer("median_followers_by_age_group", [(group, 1.5) for group in AGE_GROUPS])
    chart = specs.chart(medians)
    assert chart is not None
    assert [value["label"] for value in chart.of(600)["data"]["values"]] == list(AGE_GROUPS) == list(ages.AGE_GROUPS)


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0"), (950, "950"), (12.5, "12.5"), (1_000, "1k"), (12_500, "12.5k"), (108_500, "108.5k"), (8e6, "8M")],
)
def test_followers_in_few_letters(number: float, told: str) -> None:
    assert specs.short(number) == told


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<foreignObject/>",
        "<image href='x'/>",
        "<a xmlns:xlink='http://www.w3.org/1999/xlink' xlink:href='x'/>",
        "<style>*{}</style>",
        "<path style='x' d='M0'/>",
        "<path onclick='x' d='M0'/>",
        "<g href='x'><path d='M0' fill='red'/></g>",
        "<path fill='url(//x)' d='M0'/>",
        "<path fill='url(#a)' d='M0'/>",
        "<path clip-path='url(//x#a)' d='M0' fill='none'/>",
        "<path d='M0;x' fill='none'/>",
        "<path id='a b' d='M0' fill='none'/>",
        "<set attributeName='onload' to='x'/>",
        "<use href='#a'/>",
        "<!-- x -->",
        "<?x y?>",
        "<html:p xmlns:html='http://www.w3.org/1999/xhtml'/>",
        "<g>",
    ],
)
def test_what_is_no_plain_drawing_is_refused(inside: str) -> None:
    with pytest.raises(UnsafeSvgError):
        svg.checked(SVG.format(MARK + inside), "one", "label")


def test_other_documents_are_refused() -> None:
    entity = '<!DOCTYPE svg [<!ENTITY a "aaaa">]>' + SVG.format("<text>&a;</text>")
    for text in (entity, "<html/>", "", SVG.format(""), SVG.format(MARK * 9_000)):
        with pytest.raises(UnsafeSvgError):
            svg.checked(text, "one", "label")


def test_a_drawing_is_one_picture_whose_marks_have_tooltips_and_ids_of_their_own() -> None:
    clipped = '<defs><clipPath id="clip1"><rect width="1" height="1" fill="none"/></clipPath></defs>'
    text = SVG.format(f'{MARK}<g class="x" clip-path="url(#clip1)">{MARK}</g>{clipped}')
    drawn = svg.checked(text, "wide-a", 'label "quoted"')
    root = ET.fromstring(drawn)
    assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", 'label "quoted"')
    assert drawn.count("<title>a &lt;b&gt;</title>") + drawn.count(":title>a &lt;b&gt;<") == 2
    assert 'clip-path="url(#wide-a-clip1)"' in drawn
    assert 'id="wide-a-clip1"' in drawn
    assert 'd="M0,0h1.2v1"' in drawn
    assert "class=" not in drawn


def test_a_process_draws_and_ends() -> None:
    chart = specs.chart(answer("users_joined_by_year", [(2015, 3)]))
    assert chart is not None
    before = set(psutil.Process().children())
    drawn = Drawer().draw({"good": chart.of(300), "bad": {"mark": "nonsense"}})
    assert set(drawn) == {"good"}
    assert drawn["good"].startswith("<svg")
    assert set(psutil.Process().children()) == before


def talking(code: str) -> tuple[str, ...]:
    return sys.executable, "-c", code


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import time; time.sleep(60)", "not drawn within 1 s"),
        (
            "import sys; sys.stdin.read(); sys.stdout.write('x' * 3000000); import time; time.sleep(60)",
            "said more than",
        ),
        ("raise SystemExit(3)", "ended with 3"),
        ("print('[]')", "did not answer as agreed"),
        ("print('{\"drawn\": {}}')", "did not answer as agreed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with -9"),
    ],
)
def test_a_process_that_does_not_draw_is_ended_and_told(code: str, told: str) -> None:
    before = set(psutil.Process().children())
    began = time.monotonic()
    with pytest.raises(DrawingError, match=told):
        Drawer(talking(code), deadline_s=1 if "sleep" in code else 20, most_bytes=1_000).draw(
            {"a": {"b": "c" * 1_000_000}}
        )
    assert time.monotonic() - began < 15
    assert set(psutil.Process().children()) == before


def test_a_process_that_cannot_start_is_told_and_none_gets_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DrawingError, match="did not start"):
        Drawer(("/nowhere/python",)).draw({})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    code = "import json, os, sys; print(json.dumps({'drawn': {'a': str(dict(os.environ))}, 'failed': {}}))"
    assert "secret" in os.environ.values()
    assert "secret" not in Drawer(talking(code)).draw({"a": {}})["a"]


class FakeDrawer:
    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.error: DrawingError | None = None
        self.svg = SVG.format(MARK)

    def draw(self, asked: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        self.asked.append(set(asked))
        if self.error is not None:
            raise self.error
        return dict.fromkeys(asked, self.svg)


def test_pictures_are_drawn_once_for_a_run_and_again_a_minute_after_a_failure() -> None:
    clock = ManualClock()
    kept: Kept[Answers] = Kept(clock, 60)
    drawer = FakeDrawer()
    pictures = Pictures(kept, drawer, clock)
    pictures.look()
    assert drawer.asked == []
    name = "users_joined_by_year"
    tables = {name: answer(name, [(2015, 1)]), "top_poster_by_country": answer("top_poster_by_country", [])}
    kept.took(Answers(run(), tables))
    drawer.error = DrawingError("it is ill")
    pictures.look()
    pictures.look()
    assert (pictures.trouble("run-1"), pictures.of("run-1", name), len(drawer.asked)) == ("it is ill", None, 1)
    drawer.error = None
    clock.sleep(61)
    pictures.look()
    pictures.look()
    assert drawer.asked == [{f"{name}-wide", f"{name}-narrow"}] * 2
    picture = pictures.of("run-1", name)
    assert picture is not None
    assert picture.wide.count("<") == SVG.format(MARK).count("<") + 3
    assert (pictures.trouble("run-1"), pictures.of("run-2", name)) == ("", None)
    kept.took(Answers(run("run-2"), tables))
    drawer.svg = SVG.format("<script/>")
    pictures.look()
    assert pictures.of("run-2", name) is None
    assert pictures.trouble("run-2") == "some charts cannot be drawn"
