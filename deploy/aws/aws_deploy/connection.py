"""Airflow's connection to Databricks, as Airflow's secrets backend reads it."""

import json

from pipeline_contracts.names import Names
from pydantic import SecretStr

from aws_deploy.clients import Clients
from aws_deploy.errors import SettingError
from aws_deploy.own_names import connection_secret


def airflow_connection(host: str, client_id: str | None, secret: SecretStr | None, token: SecretStr | None) -> str:
    """The connection as JSON: a service principal's OAuth secret, or a token.

    Raises:
        SettingError: neither is given, or both.
    """
    connection: dict[str, object] = {"conn_type": "databricks", "host": host.removeprefix("https://").rstrip("/")}
    if client_id and secret and not token:
        connection |= {"login": client_id, "password": secret.get_secret_value()}
        connection["extra"] = {"service_principal_oauth": True}
    elif token and not (client_id or secret):
        connection["password"] = token.get_secret_value()
    else:
        raise SettingError("Give DATABRICKS_CLIENT_ID with DATABRICKS_CLIENT_SECRET, or DATABRICKS_TOKEN, not both")
    return json.dumps(connection)


def store_connection(clients: Clients, names: Names, connection: str) -> str:
    """Put it where the mwaa stack has made a secret for it; gives the secret's name."""
    name = connection_secret(names)
    clients.other("secretsmanager").put_secret_value(SecretId=name, SecretString=connection)
    return name
