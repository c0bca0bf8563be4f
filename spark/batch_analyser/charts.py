"""Bar charts as SVG text, for notebooks: nothing to install, the same picture everywhere."""

from collections.abc import Sequence
from html import escape
from typing import Final

from pyspark.sql import DataFrame

_WIDTH: Final = 720
_ROW: Final = 22
_LABELS: Final = 300
_MOST_BARS: Final = 30


def bar_chart(title: str, answer: DataFrame) -> str:
    """An answer as horizontal bars: its number as length, its other columns as label; at most 30 rows.

    The measure is the last numeric column but years, as in every answer's table.
    """
    measure = next(
        name for name, kind in reversed(answer.dtypes) if kind in {"int", "bigint", "double"} and "year" not in name
    )
    labels = [name for name in answer.columns if name != measure]
    rows = answer.limit(_MOST_BARS).collect()
    return bars(
        f"{title}: {measure}",
        [(", ".join(str(row[name]) for name in labels), float(row[measure])) for row in rows],
    )


def bars(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """Labels and numbers, one bar each; negative numbers have none."""
    longest = max([number for _, number in rows], default=0.0) or 1.0
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{(len(rows) + 2) * _ROW}"'
        f' font-family="sans-serif" font-size="13">',
        f'<text x="4" y="16" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (label, number) in enumerate(rows, start=1):
        y = place * _ROW
        width = max(0.0, number) / longest * (_WIDTH - _LABELS - 90)
        lines += [
            f'<text x="{_LABELS - 6}" y="{y + 16}" text-anchor="end">{escape(label[:44])}</text>',
            f'<rect x="{_LABELS}" y="{y + 4}" width="{width:.1f}" height="{_ROW - 6}" fill="#3b6ea5"/>',
            f'<text x="{_LABELS + width + 5:.1f}" y="{y + 16}">{number:,.10g}</text>',
        ]
    return "\n".join([*lines, "</svg>"])
