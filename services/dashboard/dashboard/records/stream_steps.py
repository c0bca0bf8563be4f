"""What is told of each stage of the stream path, in words."""

from datetime import datetime

from dashboard.records.asking import Row
from dashboard.records.places import Fate, Place, Step


def in_kinesis(place: Place, at: datetime | None) -> Step:
    """The first."""
    text = f"Kinesis stored it in stream {place.name}, {place.partition}, with sequence number {place.offset}"
    return Step("Kinesis", "done", text, at)


def until_table(place: Place, row: Row) -> tuple[Step, ...]:
    """Of a record that the table has."""
    return (
        in_kinesis(place, row["recorded_at"]),
        Step("Stream table", "done", "The stream reader cleaned it and appended it to the table of its kind"),
    )


def quarantined(place: Place, held: Row) -> tuple[Step, ...]:
    """The cleaner refused it."""
    text = f"The stream reader cannot read it ({held['reason']}). Its bytes are kept; to count, it must be sent again"
    return (in_kinesis(place, held["recorded_at"]), Step("Quarantine", "bad", text, held["quarantined_at"]))


def ranked(fate: Fate, key: int, other: Place | None) -> Step:
    """Which of the post's records counts."""
    title = "Versions"
    if fate == "current":
        return Step(title, "done", f"It is the current version of post {key}")
    if fate == "superseded":
        return Step(
            title, "done", f"It was a version of post {key}. A later version of the post is current", other=other
        )
    text = f"An earlier record of post {key} has the same content, so this one changes nothing"
    return Step(title, "done", text, other=other)


def popularity(fate: Fate, poster: str | None, profile: Row | None, row: Row) -> Step:
    """Whether the post counts for a profile. ``profile``: the row of the poster's, if there is one."""
    title = "Popularity"
    if fate != "current":
        return Step(title, "done", "It does not count: the current version does")
    if poster is None:
        return Step(title, "unknown", "The post counts for nobody: it has no current pin, or the pin names no poster")
    if profile is None or profile["as_of"] < row["recorded_at"]:
        return Step(title, "waiting", f"The profile of {poster} in the table is older; the table follows after seconds")
    return Step(title, "done", f"The post counts for {poster}, who has {profile['posts']:,} posts", profile["as_of"])


def not_there_yet(place: Place) -> tuple[Step, ...]:
    """The lake knows nothing of it."""
    where = f"Stream {place.name}, {place.partition}, sequence number {place.offset}"
    text = "No table has it. The record is on its way, or there is none: see pipeline audit"
    return (Step("Kinesis", "unknown", where), Step("Stream table", "waiting", text))
