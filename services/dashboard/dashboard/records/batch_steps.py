"""What is told of each stage of the batch path, in words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from dashboard.lake.runs import Run
from dashboard.records.asking import Row
from dashboard.records.places import Fate, Place, Step

_AUDIT: Final = "pipeline audit"


def in_kafka(place: Place, at: datetime | None) -> Step:
    """The first."""
    text = f"Kafka stored it in topic {place.name}, partition {place.partition}, at offset {place.offset}"
    return Step("Kafka", "done", text, at)


def until_bronze(place: Place, row: Row, found: Row | None) -> tuple[Step, ...]:
    """Of a record that bronze has."""
    covers = "" if found is None else f", which covers the offsets {_covered(found)}"
    twice = "" if row["times"] == 1 else f". Bronze holds it {row['times']} times: {_AUDIT} reports it as doubled"
    taken = f"The analysis read the object and took the record in, with batch {row['ingest_batch']}{twice}"
    return (
        in_kafka(place, row["recorded_at"]),
        Step("S3", "done", f"The sink wrote it into the object {row['object_key']}{covers}"),
        Step("Bronze", "done" if row["times"] == 1 else "bad", taken, row["ingested_at"]),
    )


def quarantined(held: Row) -> Step:
    """The cleaner refused it."""
    text = f"The cleaner cannot read it ({held['reason']}). Its bytes are kept"
    return Step("Quarantine", "bad", text, held["quarantined_at"])


def settled(fate: Fate, mine: Row, at: datetime | None, winner: Place | None) -> Step:
    """Its content is in silver, and this is the first record that has it."""
    if fate == "current":
        return Step("Silver", "done", f"It is the current version of post {mine['ind']}", at)
    text = f"It was a version of post {mine['ind']}. A later version of the post is current"
    return Step("Silver", "done", text, at, winner)


def repeated(first: Row, at: datetime | None, other: Place | None) -> Step:
    """An earlier record has the same content."""
    text = f"An earlier record of post {first['ind']} has the same content, so this one changes nothing"
    return Step("Silver", "done", text, at, other)


def waits_for_cleaning() -> Step:
    """The cleaner has not come to its batch."""
    return Step("Silver", "waiting", "Its batch is not cleaned yet. The next analysis cleans it: pipeline analyse")


def missing_in_silver() -> Step:
    """The cleaner went past it."""
    text = f"Its batch is cleaned, and neither silver nor quarantine has it: it is missing. See {_AUDIT}"
    return Step("Silver", "bad", text)


def answers(fate: Fate, mine: Row, run: Run | None, counted: Mapping[int, Row] | None) -> Step:
    """Whether the answers of the last run count it."""
    title = "Answers"
    if run is None:
        return Step(title, "waiting", "No analysis has computed answers yet: pipeline analyse")
    if counted is None:
        return Step(title, "unknown", "The tables that the last run read are gone; the next one reads the newest")
    winner = counted.get(mine["ind"])
    counts = winner is not None and winner["content_hash"] == mine["content_hash"]
    if counts and fate == "current":
        return Step(title, "done", "The answers of the last run count it", run.finished_at)
    if counts:
        return Step(
            title, "done", "The answers of the last run still count it; the next run leaves it out", run.finished_at
        )
    if fate == "current":
        return Step(title, "waiting", "The next run counts it; the last one did not have it yet: pipeline analyse")
    return Step(title, "done", "The answers do not count it: they count the current version", run.finished_at)


def dead_lettered(place: Place, letter: Row) -> tuple[Step, ...]:
    """The sink could not archive it."""
    kept = f"The analysis keeps the letter, with its bytes ({letter['reason']})"
    return (
        in_kafka(place, letter["recorded_at"]),
        Step("Dead letter", "bad", "The sink could not archive it, and sent it to the dead-letter topic"),
        Step("Quarantine", "bad", kept, letter["quarantined_at"]),
    )


def unreadable_line(place: Place, line: Row, found: Row | None) -> tuple[Step, ...]:
    """The object has a line for it that cannot be read."""
    covers = "" if found is None else f", which covers the offsets {_covered(found)}"
    kept = (
        f"The line with this offset cannot be read ({line['reason']}). The record is missing; the line's bytes are kept"
    )
    return (
        in_kafka(place, None),
        Step("S3", "done", f"It is in the object {line['object_key']}{covers}", line["recorded_at"]),
        Step("Quarantine", "bad", kept, line["quarantined_at"]),
    )


def missing_in_bronze(place: Place, found: Row) -> tuple[Step, ...]:
    """The object had a line for it when it was read."""
    return (
        in_kafka(place, None),
        _covering(found),
        Step("Bronze", "bad", f"Its line was read, and bronze does not have it: it is missing. See {_AUDIT}"),
    )


def no_line(place: Place, found: Row) -> tuple[Step, ...]:
    """The object has no line for it."""
    text = (
        "The object has no line for this offset. So the sink sent the record to the dead-letter topic, and the letter "
        "was not read yet; or there is no record: such offsets are transaction markers, aborted or compacted "
        f"records. {_AUDIT} says which"
    )
    offset = f"Topic {place.name}, partition {place.partition}, offset {place.offset}"
    return (Step("Kafka", "unknown", offset), _covering(found), Step("Bronze", "unknown", text))


def not_there_yet(place: Place) -> tuple[Step, ...]:
    """The lake knows nothing of it."""
    text = (
        "No analysis has read an object that covers this offset. The record is on its way, in Kafka or S3, or there "
        "is none: pipeline analyse, then look again"
    )
    offset = f"Topic {place.name}, partition {place.partition}, offset {place.offset}"
    return (Step("Kafka", "unknown", offset), Step("Bronze", "waiting", text))


def _covering(found: Row) -> Step:
    text = f"The object {found['object_key']} covers the offsets {_covered(found)}"
    problem = f". Problem of the object: {found['problem']}" if found["problem"] else ""
    return Step("S3", "done", f"{text}{problem}", found["ingested_at"])


def _covered(found: Row) -> str:
    return f"{found['first_offset']} to {found['next_offset'] - 1}"
