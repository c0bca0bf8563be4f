"""For any pattern of failures and crashes: order per key, and the ledger tells the truth."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from emitter.ledger_reader import LedgerReader
from emitter.rows import Row
from emitter.run import Options, send
from emitter.settings import EmitterSettings
from emitter.sources.source import Taken
from fake_gateway import FakeGateway, Fault, ProcessDiedError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_contracts.content import content_hash
from pipeline_contracts.names import KINDS, Kind
from service_kit.clock import ManualClock

FAULTS: tuple[Fault, ...] = (
    *("ok", "ok", "down", "lost", "busy", "no_api", "crash_before", "crash_after"),
    *("some_fail", "some_fail", "some_fail"),
)


class ListSource:
    identity = "list"
    seed = None

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def rows(self, taken: Taken) -> Iterator[Row]:
        return iter(self._rows[taken.rows :])

    def close(self) -> None: ...


def lists_of_posts(least: int) -> st.SearchStrategy[list[tuple[Kind, int, int]]]:
    post = st.tuples(st.sampled_from(KINDS[:2]), st.integers(0, 2), st.integers(0, 2))
    return st.lists(post, min_size=least, max_size=40)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    # Without a least size most lists are short, and hardly a request holds one key twice.
    posts=st.integers(0, 20).flatmap(lists_of_posts),
    faults=st.lists(st.sampled_from(FAULTS), max_size=25),
    batch_size=st.integers(1, 8),
    lanes=st.integers(1, 3),
)
def test_any_pattern_of_failures(
    posts: list[tuple[Kind, int, int]], faults: list[Fault], batch_size: int, lanes: int
) -> None:
    rows = [
        Row(kind, b'{"ind": %d, "version": %d}' % (key, version), str(number))
        for number, (kind, key, version) in enumerate(posts)
    ]
    gateway = FakeGateway(fault=lambda number: faults[number] if number < len(faults) else "ok")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.sqlite"
        chosen = EmitterSettings(ledger=file, batch_size=batch_size, lanes=lanes, deadline_s=1e9)
        while True:
            try:
                summary = send(chosen, ListSource(rows), Options(), transport=gateway, clock=ManualClock())
                break
            except ProcessDiedError:
                continue
        assert summary.unfinished is None
        assert summary.acknowledged == len(rows)
        stored = sum(map(len, gateway.logs.values()))
        assert len(rows) <= stored <= len(rows) + gateway.unanswered, "only unanswered requests are stored twice"
        with LedgerReader(file) as reader:
            for part in reader.acknowledged():
                log = {
                    one.offset: content_hash(one.value)
                    for one in gateway.logs[part.name]
                    if str(one.partition) == part.partition
                }
                coordinates = list(reader.coordinates(part.path, part.name, part.log_id, part.partition))
                assert len({coordinate.offset for coordinate in coordinates}) == len(coordinates)
                assert all(log[int(at.offset)] == at.content_hash for at in coordinates)
    for kind in KINDS:
        for key in range(4):
            sent = [row.value for row, post in zip(rows, posts, strict=True) if post[:2] == (kind, key)]
            kept = [one.value for one in gateway.logs[f"pinterest.{kind}"] if one.key == key]
            assert list(dict.fromkeys(kept)) == list(dict.fromkeys(sent)), "first occurrences keep their order"
