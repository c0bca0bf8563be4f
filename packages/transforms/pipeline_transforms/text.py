"""Text columns: Unicode white space is cut at both ends, and texts that say "nothing" are null."""

from collections.abc import Iterable
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as fn

WHITE_SPACE: Final = (
    "\u0009\u000a\u000b\u000c\u000d\u0020\u0085\u00a0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""The 25 code points with the Unicode property White_Space."""


def trimmed(text: Column) -> Column:
    """The text without white space at its ends. Used once per column: it looks at every character."""
    return fn.btrim(text, fn.lit(WHITE_SPACE))


def text_or_null(text: Column, nothing: Iterable[str] = ()) -> Column:
    """Null where trimmed text is empty, or is one of those that senders write for "nothing"."""
    return fn.when(~text.isin("", *nothing), text)
