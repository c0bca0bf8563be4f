"""The raw bucket below ``/mnt``: the old way to reach S3 from a notebook.

Workspaces made since 2025 have no mounts; there, and wherever Unity Catalog is, use an external location.
"""

from typing import Any

from pipeline_contracts.names import Names


class MountError(RuntimeError):
    """Something else is mounted there."""


def mount(dbutils: Any, bucket: str, mount_point: str) -> str:
    """Mount a bucket, unless it is; returns the mount point.

    Keys are not taken: the cluster's instance profile opens the bucket, and none stands in a notebook.

    Raises:
        MountError: another source is mounted there.
        Whatever ``dbutils`` raises: no such bucket, no rights, no mounts in this workspace.
    """
    source = f"s3a://{bucket}"
    there = {one.mountPoint: one.source.rstrip("/") for one in dbutils.fs.mounts()}
    if mount_point not in there:
        dbutils.fs.mount(source=source, mount_point=mount_point)
    elif there[mount_point] != source:
        msg = f"{mount_point} is a mount of {there[mount_point]}, not of {source}; unmount it first"
        raise MountError(msg)
    else:
        dbutils.fs.refreshMounts()
    return mount_point


def unmount(dbutils: Any, mount_point: str) -> bool:
    """Take a mount away; False where there was none."""
    if mount_point not in {one.mountPoint for one in dbutils.fs.mounts()}:
        return False
    dbutils.fs.unmount(mount_point)
    return True


def volume_path(names: Names, catalog: str) -> str:
    """Where the volume of ``external_location_sql`` is, for every cluster that may read it."""
    return f"/Volumes/{catalog}/{names.pipeline_id}/raw"


def external_location_sql(names: Names, raw_bucket: str, credential: str, catalog: str) -> list[str]:
    """The way with Unity Catalog: a location over a storage credential, and a volume of it in a catalog."""
    schema = f"`{catalog}`.`{names.pipeline_id}`"
    return [
        f"CREATE EXTERNAL LOCATION IF NOT EXISTS `{names.pipeline_id}-raw` URL 's3://{raw_bucket}/'"
        f" WITH (STORAGE CREDENTIAL `{credential}`)",
        f"CREATE SCHEMA IF NOT EXISTS {schema}",
        f"CREATE EXTERNAL VOLUME IF NOT EXISTS {schema}.`raw` LOCATION 's3://{raw_bucket}/'",
    ]
