from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pipeline_local.flow import await_streamed
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.layout import Layout
from service_kit.clock import ManualClock

ROOT = Path(__file__).parents[2]
PINS = "stream/pinterest_pin_table"
PROFILES = "stream/profile_popularity"


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.delenv("PIPELINE_ID", raising=False)
    return Installation(Layout(ROOT, tmp_path))


def pins(installation: Installation, *posters: str | None) -> None:
    rows = [
        {
            "ind": ind, "poster_name": poster, "log_id": "L", "partition": "s", "offset": str(ind),
            "content_hash": f"h{ind}", "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        for ind, poster in enumerate(posters)
    ]  # fmt: skip
    write_deltalake(installation.layout.lake / PINS, pa.Table.from_pylist(rows), mode="append")


def profiles(installation: Installation, **posts: int) -> None:
    rows = [{"poster_name": name, "posts": count} for name, count in posts.items()]
    write_deltalake(installation.layout.lake / PROFILES, pa.Table.from_pylist(rows), mode="overwrite")


def test_nothing_was_sent(installation: Installation) -> None:
    await_streamed(installation, 1, ManualClock())


def test_posts_must_be_counted_for_their_profiles(installation: Installation) -> None:
    """A post without a poster belongs to no profile, and a repeat is no further post."""
    pins(installation, "A", "B", None)
    pins(installation, "A")
    with pytest.raises(InstallationError, match="within 7 s; the popularity of profiles counts 0 of 2 posts"):
        await_streamed(installation, 7, ManualClock())
    profiles(installation, A=1)
    with pytest.raises(InstallationError, match="counts 1 of 2 posts"):
        await_streamed(installation, 7, ManualClock())
    profiles(installation, A=1, B=1)
    await_streamed(installation, 7, ManualClock())
