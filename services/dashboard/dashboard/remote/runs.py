"""The analyser's runs: those that wait, go on, or failed. Complete ones stand in the lake, too."""

from typing import Final

import msgspec
from pipeline_contracts.runs import RunStates

from dashboard.blocks import Block, Kept
from dashboard.live.looks import NoAnswerError
from dashboard.live.scrape import ask

_LIMIT: Final = 20
_WITHIN_S: Final = 2.5
_BYTES: Final = 512 * 1024
_decoder: Final = msgspec.json.Decoder(RunStates)


class AnalyserRuns:
    """Keeps the newest runs. ``look`` by one at a time; ``block`` from any thread."""

    def __init__(self, url: str, kept: Kept[RunStates]) -> None:
        self._url = url
        self._kept = kept

    def look(self) -> None:
        """Ask once; blocks for some seconds at most, raises nothing."""
        try:
            status, body = ask(f"{self._url}/v1/runs?limit={_LIMIT}", _WITHIN_S, _BYTES)
            if status != 200:
                raise NoAnswerError(f"it answers {status}")
            self._kept.took(_decoder.decode(body))
        except NoAnswerError as error:
            self._kept.failed(f"the analyser's runs: {error}")
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._kept.failed("the analyser's runs: its answer is not of the form in docs/wire.md")

    def block(self) -> Block[RunStates]:
        """The newest runs, the newest first, and how many wait."""
        return self._kept.block()
