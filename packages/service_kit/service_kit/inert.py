r"""Makes data inert: what a terminal would obey, or a reader would not see, becomes text such as ``\x1b``.

For everything that is printed or logged. Not for files of data (CSV), which hold what was sent.
"""

import json
import re
from typing import Final

_OBEYED: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters of ASCII and of ISO 6429 (C1): escape sequences begin with them
    "\ud800-\udfff"  # halves of a character, which no terminal's encoding has
    "\u2028\u2029"  # line breaks that are no "\n"
    # Marks that change the direction of the text around them, or take no room.
    "\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
    "]"
)
"""Left out of Unicode's categories Cc, Cf, Cs, Zl, Zp: the joiners that scripts and emoji need, and signs that show."""


def visible(text: str, *, keep: str = "") -> str:
    r"""Text in which no character moves the cursor, hides or turns others: each is written as Python would (``\x9b``).

    ``keep`` names those that stay, such as a line break of the program's own.
    """
    return _OBEYED.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def json_text(document: object, *, indent: int | None = None) -> str:
    """JSON in which the same characters are escaped: it means the same. What JSON does not know becomes text."""
    text = json.dumps(document, default=str, ensure_ascii=False, indent=indent)
    # Those of ASCII are escaped already, but for DEL and the line breaks between the lines.
    return _OBEYED.sub(lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
