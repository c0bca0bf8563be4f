"""JSON lines: ``time``, ``level``, ``service``, ``event``, then the fields given by ``extra=``.

Call ``logger.info("records stored", extra={"topic": …, "offset": …})``: a constant message, no payloads.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from service_kit.inert import json_text

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per record; what JSON does not know becomes text, what a terminal would obey is escaped."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; exceptions become the field ``error`` with their traceback."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json_text(line)


def configure_logging(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every logger of this process to ``stream`` (else stdout) as JSON lines. Called once, in ``__main__``."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
