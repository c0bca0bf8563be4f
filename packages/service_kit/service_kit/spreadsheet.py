"""Cells that a spreadsheet would compute. A file of data holds exact values, unless who asks wants them harmless."""

from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Prefixes of cells that a spreadsheet takes for a formula, some only after it has removed a blank."""


def harmless(value: object) -> object:
    """The value; a text that a spreadsheet would compute has an apostrophe in front."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value
