"""A folder of stored audits, and the dashboard's pages over it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from dashboard.api import audit as api
from dashboard.audits.folder import Audits, AuditsFolder
from dashboard.audits.verdict import judged
from dashboard.blocks import Block
from dashboard.live.figures import Verdict
from dashboard.pages import audit as page
from dashboard_frame import FrameOfTests
from flask.testing import FlaskClient
from pipeline_contracts import audits
from pipeline_contracts.audits import PATHS, AuditRow, PathName, StoredAudit

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\u202egnp\x1b[31m'\"&{{7*7}}"
BATCH = AuditRow("batch", "pinterest.pin", "L", 0, acknowledged=5, in_log=5, in_objects=5, in_bronze=5, current=5)
STREAM = AuditRow("stream", "streaming-pinterest-pin", "arn@1", "shardId-000000000000", in_log=4, current=3, repeated=1)


def row(like: AuditRow, **fields: Any) -> AuditRow:
    return msgspec.structs.replace(like, **fields)


class World:
    """A folder of audits, and the pages over it."""

    def __init__(self, path: Path, frame: FrameOfTests) -> None:
        self.path = path / "audits"
        self.path.mkdir()
        self.totals: dict[PathName, int | None] = {}
        self.clock = frame.clock
        self.clock.sleep((NOON - self.clock.now()).total_seconds() + 600)
        self.folder = AuditsFolder(self.path, self.clock)
        views = (page.blueprint(self.folder, lambda: self.totals, self.clock),)
        apis = (api.blueprint(self.folder, lambda: self.totals, self.clock),)
        self.client: FlaskClient = frame.app([*views, *apis]).test_client()

    def store(self, *rows: AuditRow, minutes: int = 0, paths: tuple[PathName, ...] = PATHS) -> str:
        """An audit that ended so long after noon; the clock stands at ten past."""
        at = NOON + timedelta(minutes=minutes)
        audit = StoredAudit(at, 2.5, audits.exit_code(list(rows)), list(paths), list(rows))
        name = audits.file_name(at)
        (self.path / name).write_bytes(audits.encoded(audit))
        return name

    def look(self) -> Block[Audits]:
        self.folder.look()
        return self.folder.block()

    def verdict(self) -> Verdict:
        self.look()
        return judged(self.folder.block(), self.totals, self.clock.now()).known

    def shows(self, path: str = "/audit") -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text
