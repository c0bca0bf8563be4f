"""Connector ``.properties`` files: what MSK Connect gets, with ``${NAME}`` placeholders still in them.

A subset of the Java format: ``key=value`` lines in ASCII, comments that begin with ``#`` or ``!``, empty lines. What
Java would read in another way (continuation lines, escapes, ``:`` as separator, a key given twice) is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from string import Template

import msgspec


class PropertiesError(ValueError):
    """A connector file cannot be used. The message names the file, the line and what to do."""


class Property(msgspec.Struct, frozen=True):
    """One rendered value and where it stands, as ``file:line``."""

    value: str
    where: str


def read_properties(path: Path, placeholders: Mapping[str, str]) -> dict[str, Property]:
    """Read one file and fill in its placeholders.

    Raises:
        PropertiesError: the file is missing, a line is outside the subset, or a placeholder has no value.
    """
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); S3_SINK_CONNECTORS_DIR names the folder of connector files"
        raise PropertiesError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: byte {error.start} is not ASCII, and Java would read it in another way"
        raise PropertiesError(msg) from error
    properties: dict[str, Property] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", "!")):
            continue
        where = f"{path}:{number}"
        key, separator, value = (part.strip() for part in line.partition("="))
        if not separator or not key or "\\" in line or ":" in key or " " in key:
            msg = f"{where}: write key=value on one line, without '\\', and without ':' or spaces in the key"
            raise PropertiesError(msg)
        if key in properties:
            msg = f"{where}: {key} is given twice, first at {properties[key].where}"
            raise PropertiesError(msg)
        properties[key] = Property(_render(value, placeholders, where), where)
    return properties


def _render(value: str, placeholders: Mapping[str, str], where: str) -> str:
    try:
        return Template(value).substitute(placeholders)
    except KeyError as error:
        msg = f"{where}: ${{{error.args[0]}}} has no value; known are {', '.join(sorted(placeholders))}"
        raise PropertiesError(msg) from error
    except ValueError as error:
        msg = f"{where}: a placeholder is written ${{NAME}}, a dollar sign $$"
        raise PropertiesError(msg) from error
