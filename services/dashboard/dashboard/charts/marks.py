"""The few kinds of chart that the answers need, as Vega-Lite of a given width: plain values in, no expression of data.

Colours are the style sheet's variables, so that one drawing serves light and dark. Texts are at least 11 pixels high.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from service_kit.inert import visible

Spec = dict[str, Any]
_MOST_LETTERS: Final = 60
LETTER: Final = 6.6
"""About how wide a letter of a label is, in pixels."""
_CONFIG: Final = {
    "background": None,
    "font": "sans-serif",
    "view": {"stroke": None},
    "padding": {"left": 2, "right": 2, "top": 4, "bottom": 4},
    "axis": {
        "labelColor": "var(--muted)",
        "labelFontSize": 12,
        "labelFontWeight": "normal",
        "domain": False,
        "ticks": False,
        "grid": False,
        "gridColor": "var(--line)",
        "title": None,
        "labelPadding": 8,
        "labelSeparation": 8,
    },
    "legend": {
        "labelColor": "var(--fg)",
        "labelFontSize": 12,
        "labelLimit": 220,
        "symbolType": "square",
        "symbolSize": 110,
        "symbolStrokeWidth": 0,
        "orient": "top",
        "title": None,
        "padding": 0,
        "offset": 10,
        "columnPadding": 18,
    },
    "scale": {"bandPaddingInner": 0.3},
    "text": {"color": "var(--fg)", "fontSize": 12},
    "bar": {"color": "var(--chart-1)"},
}


@dataclass(frozen=True)
class Bar:
    """A bar: what it is of, how long it is, what is written at its end, and all of it as a sentence.

    ``part``: of what else beside the whole bar its second part is, for bars of two parts.
    """

    label: str
    value: float
    shown: str
    told: str
    rest: float = 0.0


def text(value: object, most: int = _MOST_LETTERS) -> str:
    """A label: every character can be seen, and it is not long."""
    shown = visible(str(value))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def ranked(bars: Sequence[Bar], width: int, parts: tuple[str, str] | None = None) -> Spec:
    """Bars with their label above them, for labels of any length. ``parts``: names of the two parts of each bar."""
    longest = max((bar.value + bar.rest for bar in bars), default=0) or 1
    ends = max((len(bar.shown) for bar in bars), default=0) * LETTER + 12
    values = [
        {
            "row": number,
            "label": text(bar.label, int(width / LETTER)),
            "shown": bar.shown,
            "told": bar.told,
            "end": bar.value + bar.rest,
        }
        for number, bar in enumerate(bars)
    ]
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": {"padding": 0}}
    x = {"type": "quantitative", "axis": None, "scale": {"domain": [0, longest], "range": [0, width - ends]}}
    told = {"field": "told", "type": "nominal"}
    bar_mark = {"type": "bar", "height": 10, "yOffset": 8}
    layers: list[Spec] = []
    if parts is None:
        encoding = {"y": y, "x": {**x, "field": "end"}, "description": told}
        layers.append({"mark": {**bar_mark, "cornerRadiusEnd": 2}, "encoding": encoding})
    else:
        for part, name in enumerate(parts):
            pieces = [
                {
                    "row": number,
                    "from": bar.value if part else 0,
                    "to": bar.value + (bar.rest if part else 0),
                    "part": name,
                    "told": bar.told,
                }
                for number, bar in enumerate(bars)
            ]
            colour = {"domain": list(parts), "range": ["var(--chart-1)", "var(--line-strong)"]}
            layers.append(
                {
                    "data": {"values": [piece for piece in pieces if piece["from"] != piece["to"]]},
                    "mark": bar_mark,
                    "encoding": {
                        "y": y,
                        "x": {**x, "field": "from"},
                        "x2": {"field": "to"},
                        "color": {"field": "part", "type": "nominal", "scale": colour},
                        "description": told,
                    },
                }
            )
    layers += [
        {
            "mark": {"type": "text", "align": "left", "yOffset": -7, "limit": width},
            "encoding": {"y": y, "x": {"value": 0}, "text": {"field": "label", "type": "nominal"}},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 6, "yOffset": 8, "color": "var(--muted)"},
            "encoding": {"y": y, "x": {**x, "field": "end"}, "text": {"field": "shown", "type": "nominal"}},
        },
    ]
    return framed({"width": width, "height": {"step": 40}, "data": {"values": values}, "layer": layers})


def rows(bars: Sequence[Bar], width: int) -> Spec:
    """Bars with a short label at their left, such as a year or an age group, in the given order."""
    longest = max((bar.value for bar in bars), default=0) or 1
    labels = max((len(bar.label) for bar in bars), default=0) * LETTER + 18
    ends = max((len(bar.shown) for bar in bars), default=0) * LETTER + 12
    inner = width - labels
    values = [
        {"label": text(bar.label, 24), "value": bar.value, "shown": text(bar.shown), "told": bar.told} for bar in bars
    ]
    y = {
        "field": "label",
        "type": "ordinal",
        "sort": None,
        "axis": {"labelColor": "var(--fg)", "minExtent": labels - 10, "maxExtent": labels - 10},
    }
    domain = {"domain": [0, longest], "range": [0, max(inner - ends, 40)]}
    x = {"field": "value", "type": "quantitative", "axis": None, "scale": domain}
    layers = [
        {
            "mark": {"type": "bar", "height": 18, "cornerRadiusEnd": 2},
            "encoding": {"y": y, "x": x, "description": {"field": "told", "type": "nominal"}},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 8},
            "encoding": {"y": y, "x": x, "text": {"field": "shown", "type": "nominal"}},
        },
    ]
    return framed({"width": inner, "height": {"step": 32}, "data": {"values": values}, "layer": layers})


def columns(bars: Sequence[Bar], width: int) -> Spec:
    """A column for each year, with its number above it where there is room."""
    values = [{"label": bar.label, "value": bar.value, "shown": bar.shown, "told": bar.told} for bar in bars]
    x = {
        "field": "label",
        "type": "ordinal",
        "sort": None,
        "axis": {"labelAngle": 0, "labelColor": "var(--fg)", "labelOverlap": "greedy"},
    }
    longest = max((bar.value for bar in bars), default=0) or 1
    y = {"field": "value", "type": "quantitative", "axis": None, "scale": {"domain": [0, longest], "range": [180, 20]}}
    told = {"field": "told", "type": "nominal"}
    # Relative to a band; a single year makes no wall.
    mark = {"type": "bar", "width": min(48, 0.7 * width / max(len(bars), 1)), "cornerRadiusEnd": 2}
    layers: list[Spec] = [{"mark": mark, "encoding": {"x": x, "y": y, "description": told}}]
    if bars and max(len(bar.shown) for bar in bars) * LETTER < width / len(bars):
        layers.append(
            {
                "mark": {"type": "text", "dy": -9},
                "encoding": {"x": x, "y": y, "text": {"field": "shown", "type": "nominal"}},
            }
        )
    return framed({"width": width, "height": 180, "data": {"values": values}, "layer": layers})


def line(bars: Sequence[Bar], width: int) -> Spec:
    """A point for each year, joined where years follow each other; the first, last, highest and lowest are labelled."""
    chains: list[int] = []
    years = [int(bar.label) for bar in bars]
    for number, year in enumerate(years):
        follows = number > 0 and year - years[number - 1] == 1
        chains.append(chains[-1] if follows else year)
    ends = _ends(bars) if len(bars) * 52 > width else set(range(len(bars)))
    values = [
        {
            "label": bar.label,
            "value": bar.value,
            "shown": bar.shown if number in ends else "",
            "told": bar.told,
            "chain": chain,
        }
        for number, (bar, chain) in enumerate(zip(bars, chains, strict=True))
    ]
    x = {
        "field": "label",
        "type": "ordinal",
        "sort": None,
        "scale": {"type": "point", "padding": 0.6},
        "axis": {"labelAngle": 0, "labelColor": "var(--fg)", "labelOverlap": "greedy"},
    }
    longest = max((bar.value for bar in bars), default=0) or 1
    letters = max((len(bar.shown) for bar in bars), default=0) * LETTER
    # The numbers of the first and the last point reach beyond them.
    inner = width - max(0.0, letters - width / max(len(bars), 1))
    y = {
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": [0, longest], "range": [180, 22]},
        "axis": {"values": [0], "grid": True, "labels": False},
    }
    colour = "var(--chart-1)"
    layers = [
        {
            "mark": {"type": "line", "color": colour, "strokeWidth": 2, "aria": False},
            "encoding": {"x": x, "y": y, "detail": {"field": "chain", "type": "nominal"}},
        },
        {
            "mark": {"type": "circle", "color": colour, "size": 64, "opacity": 1},
            "encoding": {"x": x, "y": y, "description": {"field": "told", "type": "nominal"}},
        },
        # The line must not strike the numbers through.
        {
            "mark": {"type": "text", "dy": -13, "color": "var(--panel)", "stroke": "var(--panel)", "strokeWidth": 4},
            "encoding": {"x": x, "y": y, "text": {"field": "shown", "type": "nominal"}},
        },
        {
            "mark": {"type": "text", "dy": -13},
            "encoding": {"x": x, "y": y, "text": {"field": "shown", "type": "nominal"}},
        },
    ]
    return framed({"width": inner, "height": 180, "data": {"values": values}, "layer": layers})


def _ends(bars: Sequence[Bar]) -> set[int]:
    by_value = sorted(range(len(bars)), key=lambda number: bars[number].value)
    return {0, len(bars) - 1, by_value[0], by_value[-1]} if bars else set()


def framed(spec: Spec) -> Spec:
    """A whole description, with the look that all charts share."""
    return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **spec, "config": _CONFIG}
