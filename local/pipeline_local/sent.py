"""A mark in the state folder: something was sent from here, so there is a ledger.

It outlives the emitter's own folder. A ledger that was deleted is no empty one: whoever compares with it, or sends
and would begin a new one, must be told.
"""

from emitter.ledger_lock import lock_of

from pipeline_local.layout import Layout


def note(layout: Layout) -> None:
    """Make the mark once there is a ledger."""
    if layout.ledger.exists() and not layout.sent_mark.exists():
        layout.sent_mark.write_text(f"records were sent from here; the ledger of them is {layout.ledger}\n", "utf-8")


def gone(layout: Layout) -> str | None:
    """What to say where there was a ledger and is none any more; else None."""
    marks = [mark for mark in (lock_of(layout.ledger), layout.sent_mark) if mark.exists()]
    if not marks or layout.ledger.exists():
        return None
    return (
        f"the ledger {layout.ledger} is gone: what was acknowledged cannot be compared. Put a copy of it back, or "
        f"delete {' and '.join(map(str, marks))} to go on without it"
    )
