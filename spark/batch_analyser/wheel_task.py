"""One task of a job on Databricks: the wheel's entry point ``batch_analyser_task``.

Databricks gives a wheel task's ``named_parameters`` as ``--name=value``. Those of the deployment (``lake-uri`` …)
stand in the job; the others are the job's parameters, and an empty one counts as absent.
"""

import sys

import click
from spark_kit.session import build_session

from batch_analyser.jobs.catalogue import ALL_TASKS, CHOICES, check_parameters, run_task
from batch_analyser.policies import OPTIONS
from batch_analyser.settings import AnalyserSettings


def parameter_options(function: click.decorators.FC) -> click.decorators.FC:
    """One option per parameter of the job, by the parameter's own name."""
    for name in (*OPTIONS, *CHOICES):
        function = click.option(f"--{name}", name, default="", help="As the job's parameter of that name.")(function)
    return function


@click.command()
@click.option("--task", required=True, type=click.Choice(ALL_TASKS))
@click.option("--pipeline-id", required=True)
@click.option("--lake-uri", required=True, help="Where the tables are: s3://bucket/folder.")
@click.option("--region", required=True)
@click.option("--bucket", default="", help="The bucket of raw objects; <id>-raw where it is not given.")
@parameter_options
def run_one(task: str, pipeline_id: str, lake_uri: str, region: str, bucket: str, **parameters: str) -> None:
    """Run one task and print its report as JSON."""
    settings = AnalyserSettings.model_validate(
        {"PIPELINE_ID": pipeline_id, "LAKE_URI": lake_uri, "AWS_REGION": region, "ANALYSER_BUCKET": bucket or None}
    )
    checked = check_parameters(parameters)
    spark = build_session(settings.session())
    click.echo(run_task(spark, settings, task, checked))


def main() -> None:
    """Run it; a failure is an exception, which Databricks shows as the task's error."""
    run_one(sys.argv[1:], standalone_mode=False)
