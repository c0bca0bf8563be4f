"""The answers of the last complete run, read by table versions, and answers by other policies, computed on request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline_contracts import damage
from pipeline_contracts.lake import ANSWERS, gold

from pipeline_local import printing, tables
from pipeline_local.analyser_client import AnalyserClient
from pipeline_local.installation import InstallationError
from pipeline_local.lake import DamagedLakeError, Lake

NONE_YET: Final = "there are no answers yet: send events, then `pipeline analyse`"


@dataclass(frozen=True)
class Answers:
    """Rows of each table, and the policies they were computed by."""

    tables: dict[str, list[dict[str, Any]]]
    policies: dict[str, str]
    run_id: str | None

    def only(self, names: Iterable[str]) -> "Answers":
        """The named tables."""
        return Answers({name: self.tables[name] for name in names}, self.policies, self.run_id)


def stored(lake: Lake) -> Answers:
    """The nine tables at the versions that the last complete run names.

    Raises:
        InstallationError: there is no complete run, a question is newer than it, or its answers are damaged.
    """
    run = lake.last_run()
    if run is None:
        raise InstallationError(NONE_YET)
    found = {}
    for name in ANSWERS:
        version = run.versions.get(gold(name))
        if version is None:
            raise InstallationError(f"the last run has no answer {name}; run `pipeline analyse`")
        rows = lake.rows(gold(name), version)
        if any(row["run_id"] != run.run_id for row in rows):
            raise DamagedLakeError(damage.told(gold(name), f"version {version} holds another run's rows"))
        found[name] = [{column: value for column, value in row.items() if column != "run_id"} for row in rows]
    return Answers(found, run.policies, run.run_id)


def computed(lake: Lake, analyser: AnalyserClient, job: str, policies: Mapping[str, str]) -> Answers:
    """The nine tables by other policies, from the rows of silver as they are; nothing is stored.

    Raises:
        InstallationError: nothing was analysed yet.
        ServiceError: the analyser cannot be reached or failed.
    """
    with lake.named_damage():
        last = lake.last_run()
    if last is None:
        raise InstallationError(NONE_YET)
    report = analyser.run(job, {**policies, "store": "false"}, only=["answers"])["answers"]
    return Answers({name: report["answers"][name] for name in ANSWERS}, report["policies"], None)


def show(answers: Answers, form: str, *, spreadsheet_safe: bool = False) -> None:
    """Print tables, one JSON document, or CSV with the table's name in the first column."""
    if form == "json":
        printing.say_json({"policies": answers.policies, "run_id": answers.run_id, "answers": answers.tables})
    elif form == "csv":
        for name, rows in answers.tables.items():
            header: list[object] = ["answer", *(rows[0] if rows else [])]
            printing.say_csv([header, *([name, *row.values()] for row in rows)], spreadsheet_safe=spreadsheet_safe)
    else:
        console = printing.console()
        for name, rows in answers.tables.items():
            tables.print_rows(console, ANSWERS[name], rows)
        policies = ", ".join(f"{name}={value}" for name, value in sorted(answers.policies.items()))
        console.print(f"policies: {policies}")
