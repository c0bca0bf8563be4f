"""Whether the platform is Databricks, which brings its own session, S3 file system and Delta."""

import os


def on_databricks() -> bool:
    """As the platform tells every process of a cluster."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ
