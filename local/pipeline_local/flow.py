"""Waits until what was sent has arrived: in objects, in the stream tables, in the popularity of profiles."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from pipeline_contracts.lake import POPULARITY, stream_table
from pipeline_contracts.names import Names
from service_kit.clock import Clock, SystemClock

from pipeline_local.audit.connect import kafka_stage, object_reach
from pipeline_local.audit.ledger import read_ledger
from pipeline_local.audit.stages import LogPartition, StageUnreachableError
from pipeline_local.audit.stream_fates import not_stored
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.lake import Lake, current_view, view_name

POLL_S = 0.5


def await_archived(
    installation: Installation,
    deadline_s: float,
    clock: Clock | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Block until the objects of the sink reach behind every record that the topics hold now.

    Not waited for: what is sent meanwhile, what expired in Kafka before it was archived, and what lies behind another
    program's transaction that has not ended: nobody can read it yet.

    A stage that does not answer for a moment is asked again: the runner may be restarting it. ``on_wait`` is called
    before each pause; what it raises ends the waiting.

    Raises:
        InstallationError: records were still not archived at the deadline.
    """
    topics = list(installation.names.topics)
    kafka, bucket = kafka_stage(installation), object_reach(installation)
    clock = clock or SystemClock()
    deadline = clock.monotonic() + deadline_s
    trouble = ""
    wanted: list[LogPartition] | None = None
    while clock.monotonic() < deadline:
        try:
            logs = [readable(log) for log in kafka.watermarks(topics)]
            wanted = logs if wanted is None else what_is_left_of(wanted, logs)
            reached = bucket.reached(wanted)
        except StageUnreachableError as error:
            trouble = f"; {error}"
        else:
            left = offsets_left(wanted, reached)
            if left == 0:
                return
            total = sum(log.high - log.low for log in wanted)
            trouble = f"; objects cover {total - left} of {total} offsets"
        on_wait()
        clock.sleep(POLL_S)
    raise InstallationError(
        f"records were not archived within {deadline_s:.0f} s{trouble}; "
        "see `pipeline status` and `pipeline logs s3-sink`"
    )


def readable(log: LogPartition) -> LogPartition:
    """A log as far as it can be read now."""
    return log if log.open_from is None else replace(log, high=max(log.low, log.open_from))


def what_is_left_of(earlier: Iterable[LogPartition], now: Iterable[LogPartition]) -> list[LogPartition]:
    """The logs of before with their records of before, less those that have expired or gone with their log."""
    lows = {(log.log_id, log.partition): log.low for log in now}
    return [
        replace(log, low=min(lows[log.log_id, log.partition], log.high))
        for log in earlier
        if (log.log_id, log.partition) in lows
    ]


def offsets_left(logs: Iterable[LogPartition], reached: Mapping[tuple[str, int], int]) -> int:
    """How many of the offsets that the logs hold, from low to high watermark, no object reaches yet.

    ``reached`` is, per (log id, partition), the offset before which all is archived.
    """
    return sum(max(0, log.high - max(log.low, reached.get((log.log_id, log.partition), 0))) for log in logs)


def await_streamed(
    installation: Installation,
    deadline_s: float,
    clock: Clock | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Block until the stream tables hold every record acknowledged so far, and every post moves its profile.

    ``on_wait`` as ``await_archived`` has it.

    Raises:
        InstallationError: some were still on their way at the deadline.
    """
    names, lake = installation.names, Lake(installation.layout.lake)
    clock = clock or SystemClock()
    acknowledged = read_ledger(installation.layout, "stream")
    deadline = clock.monotonic() + deadline_s
    trouble = ""
    while clock.monotonic() < deadline:
        with lake.named_damage():
            left = not_stored(names, lake, acknowledged)
        trouble = f"; {left} of {len(acknowledged)} records are not in the stream tables"
        if left == 0:
            posts, counted = _posts_of_profiles(names, lake)
            if posts == counted:
                return
            trouble = f"; the popularity of profiles counts {counted} of {posts} posts"
        on_wait()
        clock.sleep(POLL_S)
    raise InstallationError(
        f"the stream path was not done within {deadline_s:.0f} s{trouble}; "
        "see `pipeline status` and `pipeline logs stream-reader`"
    )


def _posts_of_profiles(names: Names, lake: Lake) -> tuple[int, int]:
    """How many current posts name their profile, and how many of them the popularity table counts."""
    pins = stream_table(names, "pin")
    popularity = lake.dataset(POPULARITY)
    counted = 0 if popularity is None else sum(popularity.to_table(columns=["posts"])["posts"].to_pylist())
    if lake.dataset(pins) is None:
        return 0, counted
    with lake.connect([pins]) as connection:
        view = current_view(view_name(pins))
        row = connection.execute(f"select count(*) from {view} where poster_name is not null").fetchone()  # noqa: S608
    return (row[0] if row else 0), counted
