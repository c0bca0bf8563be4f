"""# The batch path, once a day

New raw objects in S3 become new answers: `sense → ingest → clean → audit → answers → upkeep`. Each step but the first
is a run of a Databricks job (`<id>-batch`, or `<id>-upkeep` for the last one), of the one task that the step is named
after. On a laptop the analyser answers in the place of Databricks; the DAG is the same file.

| step | does | with nothing new |
|---|---|---|
| `sense` | looks for objects stored since the last successful run of this DAG began | skipped, and all after it |
| `ingest` | objects → bronze | reads no object |
| `clean` | bronze → silver, quarantine | reads no row |
| `audit` | counts what the answers will be made of; fails where a record has no fate | |
| `answers` | the eight questions → gold, and the row in `runs` that readers follow | stores nothing |
| `upkeep` | merges small files, deletes files that no kept version needs | |

## Start it by hand
*Trigger* in the page, or `pipeline trigger` on a laptop. With any parameter but `wait`, `sense` does not look.

| parameter | meaning |
|---|---|
| `from`, `to` | years of question 2 |
| `ties`, `median`, `users` | other rules: the answers by them stand in the output of the run, and are not stored |
| `audit` | `full` decides each record's fate again |
| `all_keys` | list every object, not only those behind the last known ones |
| `replay` | clean the quarantine again, after a fix |
| `always` | go on with nothing new |
| `wait` | look for new objects once a minute, for an hour |

## When it fails
Every step can be repeated, and changes nothing the second time: **clear the failed step**, with all after it. Its log
holds the error's text and a link to the run. A try has an idempotency token of its own, so that it starts a run of its
own; two runs of a job never go on at once, since Databricks queues the second.

| what the log says | do |
|---|---|
| `bucket … is not there`, `AccessDenied` in `sense` | give the environment's role `s3:ListBucket` on the raw bucket |
| `Job ID for job name … can not be found` | deploy the bundle: `databricks bundle deploy` |
| the same, but the job is there | the principal may not see it: deploy with its client id as `airflow_principal` |
| `There are more than one job with name …` | two users deployed the bundle: one runs `databricks bundle destroy` |
| `401`, `403` | the token or the secret of the connection `databricks_default` has expired |
| `AuditError` | the text names topic and partition; `batch_analyser audit` shows all. Nothing was answered from it |
| `INTERNAL_ERROR` | the run was cut off; clear the step |
| `429` after some minutes | too many runs wait: look at the job's page, cancel what nobody needs |

**Mark a step as failed** to end its run: the Databricks run is cancelled, and what it committed stays.
"""

import logging
import os
from datetime import timedelta
from typing import Any

from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator
from airflow.sdk import DAG, CronTriggerTimetable, Param, task

logger = logging.getLogger(__name__)

PIPELINE_ID = os.environ.get("PIPELINE_ID") or "pinterest"
RAW_BUCKET = os.environ.get("PIPELINE_RAW_BUCKET") or f"{PIPELINE_ID}-raw"
POLL_S = int(os.environ.get("PIPELINE_POLL_S") or 15)
ONCE_PER_TRY = "{{ ti.id }}-{{ ti.try_number }}"
CLOCKS_APART = timedelta(minutes=5)
"""How long an object may take from its date to its place, and clocks differ; too far costs a run with nothing new."""

PARAMS = {
    "from": Param(None, type=["null", "integer"], minimum=1, maximum=9999, description="First year of question 2."),
    "to": Param(None, type=["null", "integer"], minimum=1, maximum=9999, description="Last year of question 2."),
    "ties": Param("all", enum=["all", "first"], description="Rows that share the first place."),
    "median": Param("exact", enum=["exact", "lower"], description="Of two middle values."),
    "users": Param("persons", enum=["persons", "posts"], description="What counts as a user."),
    "audit": Param("quick", enum=["quick", "full"], description="Full decides every record's fate again."),
    "all_keys": Param(False, type="boolean", description="List every object, not only those behind the last known."),
    "replay": Param(False, type="boolean", description="Clean the quarantine again."),
    "always": Param(False, type="boolean", description="Go on with nothing new."),
    "wait": Param(False, type="boolean", description="Look for new objects once a minute, for an hour."),
}
DEFAULTS = {name: param.value for name, param in PARAMS.items()}
JOB_PARAMETERS = {
    name: f"{{{{ params['{name}'] if params['{name}'] is not none else '' }}}}" for name in ("from", "to")
}
JOB_PARAMETERS |= {name: f"{{{{ params['{name}'] }}}}" for name in ("ties", "median", "users", "audit")}
JOB_PARAMETERS |= {name: f"{{{{ params['{name}'] | string | lower }}}}" for name in ("all_keys", "replay")}


def run_now(step: str, **more: Any) -> DatabricksRunNowOperator:
    """A step that runs the job's task of its name, and no other."""
    return DatabricksRunNowOperator(
        task_id=step,
        # A try that a new scheduler starts over finds its run again; a new try gets a new one. At most 64 characters.
        idempotency_token=ONCE_PER_TRY,
        polling_period_seconds=POLL_S,
        # Airflow starts no try anew for a server that is away for a moment.
        databricks_retry_limit=10,
        databricks_retry_delay=3,
        deferrable=False,  # with short jobs the scheduler may lose a deferred task: apache/airflow issue 66374
        **more,
    )


with DAG(
    dag_id=f"{PIPELINE_ID}_batch",
    description="New raw objects to new answers: ingest, clean, audit, the eight questions, upkeep",
    doc_md=__doc__,
    # Its first run is the next one at that time, and not one that has passed by some hours.
    schedule=CronTriggerTimetable("15 2 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=8),
    tags=["batch", "databricks"],
    params=PARAMS,
    default_args={
        "owner": "data-platform",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=2),
    },
) as dag:

    @task.sensor(  # type: ignore[untyped-decorator]  # Airflow is not in the environment of mypy
        mode="reschedule", poke_interval=60, timeout=3600, soft_fail=True
    )
    def sense(
        params: dict[str, Any], prev_start_date_success: Any = None, prev_data_interval_end_success: Any = None
    ) -> bool:
        """Whether raw objects were stored since the last successful run began; skips where there are none."""
        # Here, so that reading the file stays quick.
        import boto3  # noqa: PLC0415
        from airflow.sdk.exceptions import AirflowSkipException  # noqa: PLC0415

        if asked := [name for name in PARAMS if name != "wait" and params[name] != DEFAULTS[name]]:
            logger.info("Not looked for: the run was asked for %s", ", ".join(asked))
            return True
        # Who clears a step of a run moves its start to the clearing; the interval stays as it was scheduled.
        began = [moment for moment in (prev_start_date_success, prev_data_interval_end_success) if moment]
        since = min(began) - CLOCKS_APART if began else None
        pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=RAW_BUCKET, Prefix="topics/")
        for page in pages:
            for entry in page.get("Contents", ()):
                if since is None or entry["LastModified"] >= since:
                    logger.info("New since %s: %s", since, entry["Key"])
                    return True
        if not params["wait"]:
            message = f"Nothing new in {RAW_BUCKET} since {since}"
            raise AirflowSkipException(message)
        return False

    batch = f"{PIPELINE_ID}-batch"
    steps = [
        run_now(step, job_name=batch, job_parameters=JOB_PARAMETERS, json={"only": [step]})
        for step in ("ingest", "clean", "audit", "answers")
    ]
    upkeep = run_now("upkeep", job_name=f"{PIPELINE_ID}-upkeep")

    previous: Any = sense()
    for following in (*steps, upkeep):
        previous >> following
        previous = following
