"""Which fields each call takes. Any other is refused by name: those of the reference that are not done here with why.

https://docs.databricks.com/api/workspace/jobs
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_OTHER_KINDS: Final = dict.fromkeys(
    (
        "dbt_commands", "jar_params", "notebook_params", "pipeline_params", "python_named_params", "python_params",
        "spark_submit_params", "sql_params",
    ),
    "the tasks here are wheel tasks of the job; give 'job_parameters'",
)  # fmt: skip
_MACHINES: Final = dict.fromkeys(
    (
        "budget_policy_id", "compute", "disable_auto_optimization", "environment_key", "environment_variables",
        "environment_variables_key", "environments", "existing_cluster_id", "job_cluster_key", "job_clusters",
        "libraries", "new_cluster", "performance_target", "usage_policy_id",
    ),
    "the analyser runs everything itself, on its own machine and libraries; leave it out",
)  # fmt: skip
_ABSENT: Final = dict.fromkeys(
    (
        "access_control_list", "duration_target", "email_notifications", "git_source", "health",
        "notification_settings", "offset", "run_as", "webhook_notifications", "version_id",
    ),
    "this analyser does not support it; leave it out",
)  # fmt: skip
OTHER_TASKS: Final = (
    "ai_runtime_task", "alert_task", "clean_rooms_notebook_task", "condition_task", "dashboard_task", "dbt_cloud_task",
    "dbt_platform_task", "dbt_task", "for_each_task", "gen_ai_compute_task", "notebook_task", "pipeline_task",
    "power_bi_task", "python_operator_task", "run_job_task", "spark_jar_task", "spark_python_task",
    "spark_submit_task", "sql_task",
)  # fmt: skip
OUR_WHEEL: Final = (
    "this analyser runs its own wheel alone: give 'tasks', each with a 'python_wheel_task' with package_name"
    " 'pinterest-data-pipeline', entry_point 'batch_analyser_task' and named_parameters"
)


@dataclass(frozen=True)
class Fields:
    """Of one call, or of one object in a call: what is taken, and what only says what is so anyway (by its value)."""

    taken: frozenset[str]
    harmless: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def why_not(self, given: Mapping[str, Any]) -> str | None:
        """The first field that cannot be done, and why; None where all can."""
        for name, value in given.items():
            if name in self.taken or (name in self.harmless and _same(value, self.harmless[name])):
                continue
            if name in self.harmless:
                return f"'{name}' can only be {self.harmless[name]!r} here: this analyser does nothing else."
            if name in self.refused:
                return f"'{name}' is not supported: {self.refused[name]}."
            return f"Unknown field: {name[:100]!r}; there are {', '.join(sorted(self.taken | self.harmless.keys()))}."
        return None


def _same(value: Any, harmless: Any) -> bool:
    return value is None or value == harmless or str(value).lower() == str(harmless).lower()


def _fields(
    taken: Iterable[str], harmless: Mapping[str, Any] | None = None, refused: Mapping[str, str] | None = None
) -> Fields:
    return Fields(frozenset(taken), harmless or {}, {**_ABSENT, **_MACHINES, **_OTHER_KINDS, **(refused or {})})


_ONE_TASK: Final = dict.fromkeys((*OTHER_TASKS, "python_wheel_task", "existing_cluster_id", "new_cluster"), OUR_WHEEL)
_QUEUED: Final = {"queue": {"enabled": True}}

LIST_JOBS: Final = _fields(("name", "limit", "expand_tasks", "page_token", "include_user_names"), {"offset": 0})
GET_JOB: Final = _fields(("job_id",), {"include_trigger_state": False, "page_token": ""})
RUN_NOW: Final = _fields(("job_id", "only", "job_parameters", "idempotency_token"), _QUEUED)
SUBMIT: Final = _fields(("run_name", "tasks", "timeout_seconds", "idempotency_token"), _QUEUED, _ONE_TASK)
GET_RUN: Final = _fields(("run_id", "include_history"), {"include_resolved_values": False, "page_token": ""})
LIST_RUNS: Final = _fields(
    (
        "job_id", "active_only", "completed_only", "limit", "page_token", "expand_tasks", "run_type", "start_time_from",
        "start_time_to",
    ),
    {"offset": 0},
)  # fmt: skip
ONE_RUN: Final = _fields(("run_id",))
STATES: Final = _fields(("limit",))
CANCEL_ALL: Final = _fields(("job_id", "all_queued_runs"))
REPAIR: Final = _fields(
    (
        "run_id", "latest_repair_id", "rerun_all_failed_tasks", "rerun_tasks", "rerun_dependent_tasks",
        "job_parameters",
    )
)  # fmt: skip
TASK: Final = _fields(
    ("task_key", "python_wheel_task", "depends_on", "description", "timeout_seconds"),
    {
        "max_retries": 0, "min_retry_interval_millis": 0, "retry_on_timeout": False,
        "run_if": "ALL_SUCCESS", "disabled": False,
    },
    dict.fromkeys(OTHER_TASKS, OUR_WHEEL),
)  # fmt: skip
WHEEL: Final = _fields(
    ("package_name", "entry_point", "named_parameters"),
    {"parameters": []},
)
DEPENDENCY: Final = _fields(("task_key",), {}, {"outcome": "there are no condition tasks"})
