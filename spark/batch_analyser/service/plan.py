"""Reads the tasks of a submitted run, and brings them into an order in which each follows those it depends on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from batch_analyser.jobs.catalogue import ALL_TASKS, ParameterError, check_parameters
from batch_analyser.service import fields
from batch_analyser.service.arguments import integer, invalid, items, shown, texts

PACKAGE: Final = "pinterest-data-pipeline"
ENTRY_POINT: Final = "batch_analyser_task"
"""The wheel's entry point, as ``databricks.yml`` and submitted runs name it."""
_MOST_TASKS: Final = 100
_LONGEST_TIMEOUT_S: Final = 30 * 24 * 3600
_KEY: Final = re.compile(r"[\w-]{1,100}")


@dataclass(frozen=True)
class Plan:
    """Tasks by key, in an order that can be run: their own parameters (``task`` says what it does), and their needs.

    ``timeouts_s``: seconds, of those that have one.
    """

    parameters: Mapping[str, Mapping[str, str]]
    depends_on: Mapping[str, Sequence[str]]
    timeouts_s: Mapping[str, int]


def chain(tasks: Sequence[str]) -> dict[str, list[str]]:
    """What each task of a job depends on: the one before it."""
    return {task: [before] if before else [] for before, task in zip((None, *tasks), tasks, strict=False)}


def checked(parameters: Mapping[str, str]) -> dict[str, str]:
    """Job parameters that are known to be good.

    Raises:
        ApiError: from every function here; the message says which field is wrong.
    """
    try:
        return check_parameters(parameters)
    except ParameterError as error:
        raise invalid(str(error)) from error


def submitted(tasks: Sequence[Any]) -> Plan:
    """The plan of a run that is submitted: its tasks in their order, each behind what it depends on."""
    if not 0 < len(tasks) <= _MOST_TASKS:
        raise invalid("Missing required field: tasks" if not tasks else f"'tasks' may be {_MOST_TASKS} at most.")
    parameters: dict[str, Mapping[str, str]] = {}
    needs: dict[str, list[str]] = {}
    for task in tasks:
        key = _key(task)
        if key in parameters:
            raise invalid(f"Task {key!r} is there twice: each 'task_key' must be unique.")
        parameters[key] = _parameters(key, task)
        needs[key] = [_dependency(key, entry) for entry in items(task, "depends_on")]
    for key, names in needs.items():
        if strange := [name for name in names if name not in parameters]:
            raise invalid(f"Task {key!r} depends on {shown(strange[0])}, which is no task of the run.")
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        raise invalid(f"Tasks depend on each other in a circle: {' → '.join(error.args[1])}.") from None
    done: list[str] = []
    left = list(parameters)
    while left:
        following = next(key for key in left if set(needs[key]) <= set(done))
        left.remove(following)
        done.append(following)
    timeouts = {_key(task): timeout_s(task, f"Task {_key(task)!r}: ") for task in tasks}
    return Plan({key: parameters[key] for key in done}, needs, {key: limit for key, limit in timeouts.items() if limit})


def timeout_s(given: Mapping[str, Any], where: str = "") -> int:
    """The ``timeout_seconds`` of a run or a task; 0 for none."""
    found = integer(given, "timeout_seconds", 0)
    if not 0 <= found <= _LONGEST_TIMEOUT_S:
        raise invalid(f"{where}'timeout_seconds' must be between 0 (none) and {_LONGEST_TIMEOUT_S}, not {found}.")
    return found


def _key(task: Any) -> str:
    key = task.get("task_key") if isinstance(task, dict) else None
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise invalid("Each task needs a 'task_key' of 1 to 100 letters, digits, '_' and '-'.")
    return key


def _parameters(key: str, task: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of one submitted task, ``task`` among them."""
    if unknown := fields.TASK.why_not(task):
        raise invalid(f"Task {key!r}: {unknown}")
    wheel = task.get("python_wheel_task")
    if not isinstance(wheel, dict) or (wheel.get("package_name"), wheel.get("entry_point")) != (PACKAGE, ENTRY_POINT):
        raise invalid(f"Task {key!r}: {fields.OUR_WHEEL}.")
    if unknown := fields.WHEEL.why_not(wheel):
        raise invalid(f"Task {key!r}: {unknown}")
    parameters = texts({name: value for name, value in wheel.items() if value is not None}, "named_parameters")
    what = parameters.pop("task", key)
    if what not in ALL_TASKS:
        raise invalid(f"Task {key!r}: there is no task {shown(what)}; there are {', '.join(ALL_TASKS)}.")
    return {**checked(parameters), "task": what}


def _dependency(key: str, entry: Any) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("task_key"), str):
        raise invalid(f"Task {key!r}: 'depends_on' must be a list of objects with a 'task_key'.")
    if unknown := fields.DEPENDENCY.why_not(entry):
        raise invalid(f"Task {key!r}: {unknown}")
    return str(entry["task_key"])
