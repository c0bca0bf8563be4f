"""The dashboard's verdict on each record against the audit's, on lakes of real Delta tables."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dashboard.lake.reader import LakeReader
from dashboard.records.batch_way import BatchWay
from dashboard.records.stream_way import StreamWay
from dashboard_records import ARN, LOG, NOW, SHARDS, STREAM, TOPIC, RecordsLake, second
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_contracts.audits import AuditRow
from pipeline_contracts.names import Names
from pipeline_local.audit import fates, stream_fates
from pipeline_local.audit.fates import Acknowledged, Stages
from pipeline_local.audit.stages import Coordinate, CoveredRange, LogPartition
from pipeline_local.audit.stream_stage import StreamContents, StreamLog, StreamRecords
from pipeline_local.lake import Lake

Rows = list[dict[str, Any]]
SOME = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])

an_event = st.fixed_dictionaries(
    {
        "what": st.sampled_from(["good", "good", "good", "good", "refused", "letter", "hole", "lost", "lost later"]),
        "ind": st.integers(0, 2),
        "content": st.sampled_from("AB"),
    }
)


@dataclass
class Batch:
    """What the stages of the batch path hold: objects of some offsets each, a prefix of them ingested and cleaned."""

    objects: list[list[dict[str, Any]]]
    ingested: int
    cleaned: int
    ranges: list[CoveredRange] = field(default_factory=list)
    letters: set[Coordinate] = field(default_factory=set)
    places: dict[int, dict[str, Any]] = field(default_factory=dict)

    def write(self, lake: RecordsLake) -> None:
        bronze: Rows = []
        ledger: Rows = []
        held: Rows = []
        offset = 0
        for number, events in enumerate(self.objects):
            first = offset
            lines: Rows = []
            read = number < self.ingested
            for event in events:
                one = {**event, "object": number, "read": read}
                self.places[offset] = one
                row: dict[str, Any] = {
                    "offset": offset,
                    "content_hash": f"{one['ind']}{one['content']}",
                    "key": None if _without_key(one) else str(one["ind"]),
                }
                if one["what"] == "letter":
                    self.letters.add(Coordinate(TOPIC, LOG, 0, offset))
                    held += [{"source": "dead_letter", "offset": offset}] * read
                elif one["what"] != "hole":
                    lines.append({"first": offset, "next": offset + 1})
                    refused = "!" if one["what"] == "refused" else "?" if one["what"] == "lost later" else ""
                    bronze += [
                        {
                            **row,
                            "content_hash": row["content_hash"] + refused,
                            "ingest_batch": number + 1,
                            "object_key": f"o{number}",
                        }
                    ] * (read and one["what"] != "lost")
                    held += [{"offset": offset}] * (number < self.cleaned and one["what"] == "refused")
                offset += 1
            dead = sum(one["what"] == "letter" for one in events)
            self.ranges.append(CoveredRange(TOPIC, LOG, 0, first, offset, len(lines), f"o{number}", "e", dead))
            if read:
                ledger.append(
                    {"object_key": f"o{number}", "first_offset": first, "next_offset": offset, "ranges": lines}
                )
        lake.events(*bronze)
        lake.objects(*ledger)
        lake.quarantine(*held)
        lake.silver(self._silver(), self.cleaned)
        lake.run(0)

    def _silver(self) -> Rows:
        contents: dict[int, dict[str, dict[str, Any]]] = {}
        for offset, one in self.places.items():
            if one["what"] == "good" and one["read"] and one["object"] < self.cleaned:
                row = {
                    "ind": one["ind"],
                    "country": "x",
                    "offset": offset,
                    "content_hash": f"{one['ind']}{one['content']}",
                }
                contents.setdefault(one["ind"], {}).setdefault(one["content"], row)
        ordered = [sorted(rows.values(), key=lambda row: int(row["offset"])) for rows in contents.values()]
        return [{**rows[-1], "superseded": rows[:-1]} for rows in ordered]

    def audited(self, folder: Path) -> AuditRow:
        logs = [LogPartition(TOPIC, LOG, 0, 0, len(self.places))]
        stages = Stages(logs, self.ranges, self.letters, Acknowledged.empty_table(), logs)
        (row,) = fates.audit(Names(), Lake(folder), stages)
        return row


def _without_key(one: dict[str, Any]) -> bool:
    return (one["what"], one["content"]) == ("good", "A")


def counted(row: AuditRow) -> dict[str, int]:
    names = ("current", "superseded", "repeated", "quarantined")
    return {name: getattr(row, name) for name in names if getattr(row, name)}


def modelled(records: list[tuple[Any, ...]]) -> dict[Any, str]:
    """Fates by the rule itself. A record is its place in the order, then its post, its content, and its name."""
    seen: dict[tuple[Any, Any], Any] = {}
    winners: dict[Any, Any] = {}
    for *_, post, content, name in sorted(records):
        if (post, content) not in seen:
            seen[post, content] = winners[post] = name
    firsts, current = set(seen.values()), set(winners.values())
    return {
        name: "repeated" if name not in firsts else "current" if name in current else "superseded"
        for *_, name in records
    }


def _numbers(sequence: str) -> tuple[int, int]:
    number, _, sub = sequence.partition(".")
    return int(number), int(sub or -1)


def missing(row: AuditRow) -> set[str]:
    return {str(place) for first, last in row.missing for place in range(int(first), int(last) + 1)}


@SOME
@given(st.lists(st.lists(an_event, min_size=1, max_size=5), min_size=1, max_size=4), st.data())
def test_batch_records_have_the_fates_that_the_audit_gives_them(
    objects: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    ingested = data.draw(st.integers(1, len(objects)))
    world = Batch(objects, ingested, data.draw(st.integers(0, ingested)))
    with TemporaryDirectory() as name:
        world.write(RecordsLake(Path(name)))
        row = world.audited(Path(name))
        way = BatchWay(LakeReader(name), Names())
        found = {offset: way.by_place("geo", 0, offset).records for offset in world.places}
        by_key = {key: way.by_key("geo", key).records for key in range(3)}
    assert all(len(records) == 1 for records in found.values())
    told = {offset: records[0] for offset, records in found.items()}
    in_bronze = {offset: one for offset, one in told.items() if one.content_hash is not None}
    fates_told = Counter(one.fate for one in in_bronze.values())
    waiting = fates_told.pop("in_flight", 0)
    lost = fates_told.pop("missing", 0)
    assert dict(fates_told) == counted(row)
    settled = {
        offset: one.fate for offset, one in in_bronze.items() if one.fate in {"current", "superseded", "repeated"}
    }
    good = {offset: one for offset, one in world.places.items() if one["what"] == "good" and one["read"]}
    cleaned = {offset: one for offset, one in good.items() if one["object"] < world.cleaned}
    model = modelled([(offset, one["ind"], one["content"], offset) for offset, one in cleaned.items()])
    # A record of a batch that is not cleaned yet, whose content is there, is a repeat already.
    assert settled.items() >= model.items()
    assert all(settled[offset] == "repeated" for offset in settled.keys() - model.keys())
    named = missing(row)
    assert lost == len(named & {str(offset) for offset in in_bronze})
    # Of what bronze does not have, what was read is told as the audit does; the rest waits in both.
    dead = {offset for offset, one in told.items() if one.fate == "dead_lettered"}
    assert dead == {one.offset for one in world.letters if world.places[one.offset]["read"]}
    for offset, one in told.items():
        if one.fate == "missing":
            assert str(offset) in named
        if one.fate == "not_there_yet":
            assert not world.places[offset]["read"]
        if one.fate == "unclear":
            assert world.places[offset]["what"] == "hole"
    assert waiting <= row.in_flight
    for key, records in by_key.items():
        # What has no Kafka key is known to be of a post once it is cleaned.
        known = {offset for offset in in_bronze if offset in settled or not _without_key(world.places[offset])}
        of_key = {offset for offset in known if world.places[offset]["ind"] == key}
        assert {int(record.place.offset) for record in records} == of_key
        assert all(record.fate == told[int(record.place.offset)].fate for record in records)
        assert [record.recorded_at for record in records] == sorted((second(o) for o in of_key), reverse=True)


@SOME
@given(st.lists(st.tuples(an_event, st.sampled_from(SHARDS), st.integers(0, 3), st.integers(0, 2)), max_size=12))
def test_stream_records_have_the_fates_that_the_audit_gives_them(
    events: list[tuple[dict[str, Any], str, int, int]],
) -> None:
    """Sequence numbers of different lengths, sub-records among them; arrivals that are equal, or in no order."""
    numbers = {f"{10**55 - 2 + place}": place for place in range(4)}
    places: dict[tuple[str, str], dict[str, Any]] = {}
    for one, shard, place, sub in events:
        number = list(numbers)[place] + (f".{sub}" if sub else "")
        places.setdefault((shard, number), one)
    good = {at: one for at, one in places.items() if one["what"] != "refused"}
    with TemporaryDirectory() as name:
        lake = RecordsLake(Path(name))
        lake.stream(
            *[
                {"ind": one["ind"], "country": "y", "partition": shard, "offset": number,
                 "recorded_at": second(len(one["what"])),
                 "content_hash": f"{one['ind']}{one['content']}"}
                for (shard, number), one in good.items()
            ]
        )  # fmt: skip
        lake.stream_quarantine(
            *[{"partition": shard, "offset": number} for (shard, number) in places.keys() - good.keys()]
        )
        log = StreamLog(STREAM, ARN, SHARDS, NOW, NOW)
        contents = StreamContents([log], StreamRecords.empty_table())
        stages = stream_fates.StreamStages(contents, StreamRecords.empty_table())
        rows = stream_fates.audit(Names(), Lake(Path(name)), stages)
        way = StreamWay(LakeReader(name), Names())
        found = {at: way.by_place("geo", *at).records for at in places}
        by_key = [way.by_key("geo", key).records for key in range(3)]
    assert {at: one.fate for at, (one,) in found.items()} == dict.fromkeys(places, "quarantined") | modelled(
        [(second(len(one["what"])), shard, *_numbers(number), one["ind"], one["content"], (shard, number))
         for (shard, number), one in good.items()]
    )  # fmt: skip
    for row in rows:
        told = Counter(one.fate for at, records in found.items() for one in records if at[0] == row.partition)
        assert dict(told) == counted(row)
    assert sorted((one.place.offset, one.fate) for records in by_key for one in records) == sorted(
        (one.place.offset, one.fate) for at, records in found.items() for one in records if at in good
    )
