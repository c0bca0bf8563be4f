"""Names that exist on AWS alone; those that the laptop has too are ``pipeline_contracts.names``'."""

from typing import Literal

from pipeline_contracts.names import Names

Service = Literal["proxy", "emitter", "stream-reader", "dashboard"]
"""Those that have a repository of images."""


def lake_bucket(names: Names) -> str:
    """The bucket of the Delta tables."""
    return f"{names.pipeline_id}-lake"


def artifact_bucket(names: Names) -> str:
    """The bucket of what is deployed: plug-in, DAG, wheel."""
    return f"{names.pipeline_id}-artifacts"


def access_log_bucket(names: Names) -> str:
    """The bucket of the other buckets' access logs."""
    return f"{names.bucket}-access-logs"


def repository(names: Names, service: Service) -> str:
    """The repository of a service's images."""
    return f"{names.pipeline_id}/{service}"


def brokers(names: Names) -> str:
    """The MSK cluster."""
    return names.pipeline_id


def sign_in_secret(names: Names) -> str:
    """The secret with the dashboard's ``client_secret`` at the identity provider; a person puts it there."""
    return f"{names.pipeline_id}/dashboard/oidc"


def connection_secret(names: Names) -> str:
    """The secret that holds Airflow's connection to Databricks."""
    return f"{names.pipeline_id}/airflow/connections/databricks_default"
