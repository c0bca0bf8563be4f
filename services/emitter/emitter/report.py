"""The summary, for people and for programs."""

import msgspec

from emitter.ledger_reader import Problem
from emitter.summary import Summary


def as_json(summary: Summary) -> str:
    """One JSON object, over several lines."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2).decode()


def as_text(summary: Summary) -> str:
    """A few lines: what was sent, what became of it, what was not sent and why, how to go on."""
    events = ", ".join(f"{kind} {count:,}" for kind, count in summary.sent.items())
    pace = f" ({summary.acknowledged / summary.seconds:,.0f} records/s)" if summary.seconds else ""
    began = "gone on with" if summary.resumed else "new"
    lines = [f"Run {summary.run} ({began}): {events} in {summary.seconds:.1f} s{pace}"]
    for path, counts in summary.paths.items():
        lines.append(
            f"  {path}: {counts.acknowledged:,} acknowledged, {counts.unacknowledged:,} not acknowledged,"
            f" {counts.refused:,} refused"
        )
    if summary.retried:
        lines.append(f"  sent again: {summary.retried:,}")
    lines += _problems("rejected before sending", summary.rejected)
    lines += _problems("refused by the other side", summary.refused)
    if summary.unfinished is not None:
        lines += [f"Not finished: {summary.unfinished}", "The same command resumes from here; --fresh starts over."]
    return "\n".join(lines)


def _problems(title: str, problems: list[Problem]) -> list[str]:
    if not problems:
        return []
    total = sum(problem.records for problem in problems)
    return [f"  {title}: {total:,}"] + [
        f"    {problem.records:,} x {problem.reason} (first: {problem.kind} {problem.position})" for problem in problems
    ]
