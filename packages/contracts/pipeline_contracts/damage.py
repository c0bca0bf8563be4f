"""What to do about a table of the lake that cannot be read. Whoever finds one says it in these words."""

from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, RUNS


def told(table: str, reason: str) -> str:
    """One line: the table by its path below the lake, why it cannot be read, and the remedy."""
    first, *_ = reason.strip().splitlines() or ["no reason is given"]
    return f"the table {table} is damaged ({first[:300].strip()}); {remedy(table)}"


def remedy(table: str) -> str:
    """What brings the table back. Nothing is lost by it: each is made of what comes before it, objects at last."""
    if table.startswith("gold/"):
        return "the next analysis computes it anew"
    if table.startswith(("stream/", "quarantine/stream")):
        return "restore its files, or see the log of the stream reader"
    if table == EVENTS:
        return "restore its files, or move the folders bronze and silver out of the lake: analyse makes both anew"
    if table == QUARANTINE:
        others = f"{QUARANTINE}, {OBJECTS} and silver"
        return f"restore its files, or move the folders {others} out of the lake: analyse makes them anew"
    made = {
        OBJECTS: "analyse reads all objects again",
        RUNS: "analyse computes the answers anew",
    }.get(table, "analyse makes it anew")
    return f"restore its files, or move the folder {table} out of the lake: {made}"
