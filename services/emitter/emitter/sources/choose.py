"""From the command line's words to a source."""

from pathlib import Path

from emitter.sources.generator import GeneratorSource
from emitter.sources.jsonl import JsonlSource
from emitter.sources.source import Source
from emitter.sources.sql import SqlSource


def open_source(where: str | None, seed: int) -> Source:
    """A folder, a database URL, or (None) the generator. Connects and looks, reads no row yet.

    Raises:
        SourceError: there is no such thing, or it cannot be read.
    """
    if where is None:
        return GeneratorSource(seed)
    if "://" in where:
        return SqlSource(where)
    return JsonlSource(Path(where))
