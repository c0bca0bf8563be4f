"""``pipeline trigger``: an analysis by the DAG, as on AWS."""

import sys
from dataclasses import asdict

import click

from pipeline_local import printing
from pipeline_local.airflow_client import AirflowClient, TaskRun
from pipeline_local.commands_stages import ARCHIVE_DEADLINE_S
from pipeline_local.flow import await_archived
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.needs import ARCHIVE, must_serve, watching
from pipeline_local.options import format_option, policy_options
from pipeline_local.topology import WITHOUT


def client(installation: Installation) -> AirflowClient:
    """The Airflow of a running installation.

    Raises:
        InstallationError: it was left out.
    """
    if not installation.has("airflow"):
        raise InstallationError(f"Airflow is left out by {WITHOUT}; `pipeline analyse` needs none")
    service = installation.service("airflow")
    page = service.environment.get("AIRFLOW_PAGE")
    return AirflowClient(service.url, page, on_outage=watching(installation, "airflow"))


@click.command()
@click.option("--wait", is_flag=True, help="Stay until the run is over, and show each task with its seconds.")
@click.option("--always", is_flag=True, help="Run every step, also with nothing new.")
@click.option("--full-audit", is_flag=True, help="Decide every record's fate again.")
@format_option
@policy_options
@click.pass_obj
def trigger(
    installation: Installation, /, *, wait: bool, always: bool, full_audit: bool, form: str, **policies: str | int
) -> None:
    """Start the DAG: sense, ingest, clean, audit, answers, upkeep. Prints the link to the run's page.

    Waits first until what was sent is archived. With nothing new since the last run, all is skipped. By other rules
    (--ties …) the answers stand in the run's output and are not stored. Exit code 1 with --wait: the run failed.
    """
    airflow = client(installation)
    must_serve(installation, *ARCHIVE, "analyser", "airflow")
    await_archived(installation, ARCHIVE_DEADLINE_S, on_wait=watching(installation, *ARCHIVE))
    params = {name: value for name, value in policies.items() if value is not None}
    params |= {"always": True} if always else {}
    params |= {"audit": "full"} if full_audit else {}
    dag_id = installation.names.dag("batch")
    as_table = form == "table"
    run = airflow.trigger(dag_id, params)
    if as_table:
        printing.say(f"started: {run.page}")
    if wait:
        run = airflow.follow(dag_id, run, lambda task: _tell(task) if as_table else None)
    failed = [task for task in run.tasks if task.state == "failed"]
    logs = {task.task: airflow.log(dag_id, run, task) for task in failed}
    if as_table:
        for task, lines in logs.items():
            printing.say("\n".join([f"last lines of {task}:", *lines]), err=True)
        printing.say(f"the run is {run.state}")
    else:
        printing.say_json({**asdict(run), "logs": logs}, indent=2)
    sys.exit(1 if run.state == "failed" else 0)


def _tell(task: TaskRun) -> None:
    tries = f" (try {task.tries})" if task.tries > 1 else ""
    printing.say(f"{task.task}: {task.state}{tries}, {task.seconds:.1f} s")
