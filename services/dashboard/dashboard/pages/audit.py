"""What became of every record, by the newest audits: the verdict, fates by partition, what is wrong, earlier audits."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flask import Blueprint, render_template
from pipeline_contracts.audits import EXIT_EQUAL, EXIT_FLOWING, EXIT_MISSING, MOST_AUDITS, PATHS, PathName
from service_kit.clock import Clock

from dashboard.api.audit import DEFAULT_LIMIT, named
from dashboard.api.frame import parameters, whole
from dashboard.audits import shown
from dashboard.audits.folder import AuditsFolder, Named
from dashboard.audits.shown import Fates, Trouble
from dashboard.audits.verdict import RecordsInLake, judged, of_one, since

EXIT_WORDS: Final = {
    EXIT_EQUAL: "all accounted for",
    EXIT_MISSING: "not all accounted for",
    EXIT_FLOWING: "still flowing",
}


@dataclass(frozen=True)
class OfPath:
    """The newest audit of one path. ``more`` records came since, None where that is not known."""

    path: PathName
    name: str
    finished_at: datetime
    seconds: float
    fates: Fates
    troubles: list[Trouble]
    troubles_left_out: int
    more: int | None


def blueprint(folder: AuditsFolder, totals: Callable[[], RecordsInLake], clock: Clock) -> Blueprint:
    """Its route. A view waits for nothing, but an earlier audit is read from the disk when it is asked for."""
    made = Blueprint("audit", __name__)

    def audit() -> str:
        given = parameters("name", "history")
        history = whole(given, "history", DEFAULT_LIMIT, MOST_AUDITS)
        block = folder.block()
        if "name" in given:
            one = named(folder, given["name"])
            verdict = of_one(one, clock.now())
            return render_template(
                "audit_one.html", one=one, verdict=verdict, paths=_paths([one], {}), shown=shown, words=EXIT_WORDS
            )
        found, known = block.value, totals()
        return render_template(
            "audit.html",
            block=block,
            verdict=judged(block, known, clock.now()).value,
            paths=[] if found is None else _paths(found.newest.values(), since(found, known)),
            history=() if found is None else found.history[:history],
            older=0 if found is None else len(found.history[history:]),
            skipped=() if found is None else found.skipped,
            shown=shown,
            words=EXIT_WORDS,
        )

    made.add_url_rule("/audit", "audit", audit, methods=["GET"])
    return made


def _paths(found: Iterable[Named], more: dict[PathName, int]) -> list[OfPath]:
    """What there is to show of each path, batch first."""
    by_path: dict[PathName, Named] = {}
    for one in found:
        for path in one.audit.paths:
            by_path.setdefault(path, one)
    return [_of_path(path, by_path[path], more.get(path)) for path in PATHS if path in by_path]


def _of_path(path: PathName, one: Named, more: int | None) -> OfPath:
    troubles, left_out = shown.troubles(one.audit, path)
    return OfPath(
        path,
        one.name,
        one.audit.finished_at,
        one.audit.seconds,
        shown.fates(one.audit, path),
        troubles,
        left_out + one.audit.ranges_left_out,
        more,
    )
