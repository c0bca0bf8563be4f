"""A table of numbers as a chart: the fuller a cell, the higher its number."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.charts.marks import LETTER, Spec, framed


@dataclass(frozen=True)
class Cell:
    """A cell of a table of numbers: its row and column, its value, and that as text and as a sentence."""

    row: str
    column: str
    value: float
    shown: str
    told: str


def cells_of(found: Sequence[Cell], columns: Sequence[str], width: int) -> Spec:
    """A table whose cells are the fuller, the higher their number is among all of them."""
    labels = max((len(cell.row) for cell in found), default=0) * LETTER + 18
    highest = max((cell.value for cell in found), default=0) or 1
    values = [
        {
            "row": cell.row,
            "column": cell.column,
            # Half as full for a quarter of the number: a few high ones leave the rest to be told apart.
            "fill": 0.06 + 0.44 * (max(cell.value, 0) / highest) ** 0.5,
            "shown": cell.shown,
            "told": cell.told,
        }
        for cell in found
    ]
    y = {
        "field": "row",
        "type": "ordinal",
        "sort": None,
        "scale": {"padding": 0.04},
        "axis": {"labelColor": "var(--fg)", "minExtent": labels - 10, "maxExtent": labels - 10},
    }
    x = {
        "field": "column",
        "type": "ordinal",
        "sort": list(columns),
        "scale": {"domain": list(columns), "paddingInner": 0.02, "paddingOuter": 0},
        "axis": {"orient": "top", "labelAngle": 0, "labelColor": "var(--fg)"},
    }
    layers = [
        {
            "mark": {"type": "rect", "color": "var(--chart-1)", "cornerRadius": 3},
            "encoding": {
                "x": x,
                "y": y,
                "fillOpacity": {"field": "fill", "type": "quantitative", "scale": None, "legend": None},
                "description": {"field": "told", "type": "nominal"},
            },
        },
        {"mark": "text", "encoding": {"x": x, "y": y, "text": {"field": "shown", "type": "nominal"}}},
    ]
    return framed({"width": width - labels, "height": {"step": 34}, "data": {"values": values}, "layer": layers})
