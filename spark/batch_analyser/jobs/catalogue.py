"""The jobs, their tasks in order, and the parameters that a run can carry."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, Literal

from prometheus_client import Counter
from pyspark.sql import SparkSession

from batch_analyser.jobs import answers, audit, clean, ingest, upkeep
from batch_analyser.lake import Lake
from batch_analyser.policies import OPTIONS, PolicyError, described, parse_policies
from batch_analyser.settings import AnalyserSettings

TASKS: Final = ("ingest", "clean", "answers", "audit")
JOBS: Final[Mapping[Literal["batch", "upkeep"], tuple[str, ...]]] = {"batch": TASKS, "upkeep": ("upkeep",)}
"""Each job's tasks; a job's name is ``<id>-`` and the key."""
ALL_TASKS: Final = tuple(task for tasks in JOBS.values() for task in tasks)

_RECORDS = Counter("analyser_records_total", "Records by what was done with them", ["stage"])
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "all_keys": ("false", "true"),
    "replay": ("false", "true"),
    "audit": ("quick", "full"),
    "store": ("true", "false"),
}
"""Parameters that are no policy, and what each can be; the first is the default."""


class ParameterError(ValueError):
    """A parameter that the job does not have, or a value that it cannot have."""


def check_parameters(given: Mapping[str, str]) -> dict[str, str]:
    """The parameters as they are, once they are known to be good; empty ones count as absent.

    Raises:
        ParameterError: one is not; the message says which and what is allowed.
    """
    parameters = {name: value for name, value in given.items() if value}
    for name, value in parameters.items():
        allowed = CHOICES.get(name)
        if allowed is None and name not in OPTIONS:
            msg = f"unknown job parameter {name!r}; there are {', '.join([*CHOICES, *OPTIONS])}"
            raise ParameterError(msg)
        if allowed is not None and value not in allowed:
            msg = f"job parameter {name} is {value!r}; it can be {' or '.join(allowed)}"
            raise ParameterError(msg)
    try:
        parse_policies(_policies(parameters))
    except PolicyError as error:
        raise ParameterError(str(error)) from error
    return parameters


def run_task(spark: SparkSession, settings: AnalyserSettings, task: str, parameters: Mapping[str, str]) -> str:
    """Run one task; its report as JSON.

    Raises:
        ValueError: there is no such task.
        AuditError: the audit found records without a fate.
        DamagedLakeError: a table on a disk cannot be read.
        Whatever the task raises.
    """
    with Lake(spark, settings.lake_uri).named_damage():
        return json.dumps(_report(spark, settings, task, parameters), default=str, ensure_ascii=False)


def _report(spark: SparkSession, settings: AnalyserSettings, task: str, parameters: Mapping[str, str]) -> Any:
    report: Any
    match task:
        case "ingest":
            taken = ingest.run(spark, settings, all_keys=parameters.get("all_keys") == "true")
            _RECORDS.labels("ingested").inc(taken.records)
            report = asdict(taken)
        case "clean":
            cleaned = clean.run(spark, settings, replay=parameters.get("replay") == "true")
            for kind in cleaned.kinds.values():
                _RECORDS.labels("cleaned").inc(kind.records)
                _RECORDS.labels("quarantined").inc(sum(kind.quarantined.values()))
            report = asdict(cleaned)
        case "answers":
            policies = parse_policies(_policies(parameters))
            store = parameters.get("store") != "false"
            report = asdict(answers.run(spark, settings)) if store else {"policies": described(policies)}
            if not store or policies != answers.DEFAULT:
                report["answers"] = answers.compute(spark, settings, policies)
        case "audit":
            found = audit.run(spark, settings, recount=parameters.get("audit") == "full")
            report = asdict(found)
            if not found.ok:
                raise audit.AuditError(found)
        case "upkeep":
            report = asdict(upkeep.run(spark, settings))
        case _:
            msg = f"there is no task {task!r}; there are {', '.join(ALL_TASKS)}"
            raise ValueError(msg)
    return report


def _policies(parameters: Mapping[str, str]) -> dict[str, str | int | None]:
    return {name: value for name, value in parameters.items() if name in OPTIONS}
