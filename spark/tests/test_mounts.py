from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from batch_analyser.mounts import MountError, external_location_sql, mount, unmount, volume_path
from pipeline_contracts.names import Names


@dataclass
class FakeFileSystem:
    """As much of ``dbutils.fs`` as mounts need: like the real one, it refuses a mount point that is taken."""

    table: dict[str, str] = field(default_factory=dict)
    refreshed: int = 0

    def mounts(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(mountPoint=point, source=source) for point, source in self.table.items()]

    def mount(self, source: str, mount_point: str) -> bool:
        if mount_point in self.table:
            raise ValueError(f"Directory already mounted: {mount_point}")
        self.table[mount_point] = source
        return True

    def unmount(self, mount_point: str) -> bool:
        del self.table[mount_point]
        return True

    def refreshMounts(self) -> bool:
        self.refreshed += 1
        return True


@pytest.fixture
def dbutils() -> SimpleNamespace:
    return SimpleNamespace(fs=FakeFileSystem())


def test_mounting_twice_is_mounting_once(dbutils: SimpleNamespace) -> None:
    for _ in range(2):
        assert mount(dbutils, "x-raw", "/mnt/x-raw") == "/mnt/x-raw"
    assert dbutils.fs.table == {"/mnt/x-raw": "s3a://x-raw"}
    assert dbutils.fs.refreshed == 1, "this cluster may have started before another mounted it"


def test_another_bucket_at_the_same_place_is_refused(dbutils: SimpleNamespace) -> None:
    mount(dbutils, "x-raw", "/mnt/raw")
    with pytest.raises(MountError, match="is a mount of s3a://x-raw, not of s3a://y-raw"):
        mount(dbutils, "y-raw", "/mnt/raw")


def test_a_mount_can_be_taken_away_once(dbutils: SimpleNamespace) -> None:
    mount(dbutils, "x-raw", "/mnt/raw")
    assert unmount(dbutils, "/mnt/raw")
    assert not unmount(dbutils, "/mnt/raw")
    assert dbutils.fs.table == {}


def test_the_way_with_unity_catalog_may_be_run_again() -> None:
    statements = external_location_sql(Names("x-y"), "x-y-raw", "role", "ours")
    assert all("IF NOT EXISTS" in statement for statement in statements)
    assert "s3://x-y-raw/" in statements[0]
    assert statements[2] == "CREATE EXTERNAL VOLUME IF NOT EXISTS `ours`.`x-y`.`raw` LOCATION 's3://x-y-raw/'"
    assert volume_path(Names("x-y"), "ours") == "/Volumes/ours/x-y/raw"
