"""How far the objects of a partition go, and what it costs to look."""

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError
from pipeline_contracts.objects import ObjectName, partition_prefix
from pipeline_local.audit.reach import ObjectReach
from pipeline_local.audit.stages import LogPartition, StageUnreachableError

TOPIC = "t.pin"


class FakePaginator:
    def __init__(self, s3: "FakeS3") -> None:
        self._s3 = s3

    def paginate(self, *, Bucket: str, Prefix: str, Delimiter: str, StartAfter: str) -> Iterator[dict[str, object]]:
        if Bucket != "raw":
            raise ClientError({"Error": {"Code": "NoSuchBucket", "Message": ""}}, "ListObjectsV2")
        found = [
            key
            for key in sorted(self._s3.objects)
            if key.startswith(Prefix) and key > StartAfter and Delimiter not in key.removeprefix(Prefix)
        ]
        self._s3.listed += len(found)
        for start in range(0, max(1, len(found)), 3):
            yield {"Contents": [{"Key": key, "ETag": str(self._s3.objects[key])} for key in found[start : start + 3]]}


class FakeS3:
    """What is used of S3: sorted keys, pages, metadata; counts keys listed and objects asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, str]] = {}
        self.listed = 0
        self.heads = 0

    def get_paginator(self, _name: str) -> FakePaginator:
        return FakePaginator(self)

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, object]:
        assert Bucket == "raw"
        self.heads += 1
        return {"Metadata": self.objects[Key]}

    def put(self, first: int, after: int, log_id: str = "L", folder_of: str | None = None) -> None:
        key = ObjectName(TOPIC, 0, first, folder_of).key
        self.objects[key] = {"log-id": log_id, "first-offset": str(first), "next-offset": str(after)}


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


def reached(reach: ObjectReach, log_id: str = "L") -> int:
    return reach.reached([LogPartition(TOPIC, log_id, 0, 0, 10)])[log_id, 0]


def test_the_last_object_tells_how_far_they_go(s3: FakeS3) -> None:
    reach = ObjectReach(s3, "raw")  # type: ignore[arg-type]
    assert reached(reach) == 0
    s3.put(0, 4)
    s3.put(4, 9)
    assert reached(reach) == 9
    s3.put(9, 12)
    assert reached(reach) == 12


def test_a_look_costs_the_same_however_many_objects_there_are(s3: FakeS3) -> None:
    for first in range(0, 5_000, 10):
        s3.put(first, first + 10)
    reach = ObjectReach(s3, "raw")  # type: ignore[arg-type]
    assert reached(reach) == 5_000
    assert s3.heads == 1
    s3.listed = s3.heads = 0
    for first in range(5_000, 5_100, 10):
        s3.put(first, first + 10)
        assert reached(reach) == first + 10
        assert reached(reach) == first + 10
    assert s3.heads == 10
    assert s3.listed == 10 * 3, "the last known one, once with the new one and once alone"


def test_other_writers_objects_tell_nothing(s3: FakeS3) -> None:
    s3.put(0, 4)
    prefix = partition_prefix(TOPIC, 0)
    for name in ("", "zzz copy.json", f"{TOPIC}+0+0000000077.json"):
        s3.objects[prefix + name] = {}
    s3.objects[ObjectName(TOPIC, 0, 8).key] = {"next-offset": "far"}
    reach = ObjectReach(s3, "raw")  # type: ignore[arg-type]
    assert [reached(reach) for _ in range(3)] == [4, 4, 4]
    assert s3.heads == 2, "one that is named like ours is asked for once"


def test_a_log_that_was_made_anew_has_a_folder_of_its_own(s3: FakeS3) -> None:
    s3.put(0, 40, "older")
    reach = ObjectReach(s3, "raw")  # type: ignore[arg-type]
    assert reached(reach, "new/er+") == 0
    s3.put(0, 5, "new/er+", folder_of="new/er+")
    assert (reached(reach, "new/er+"), reached(reach, "older")) == (5, 40)


def test_a_bucket_that_was_made_anew_is_looked_at_anew(s3: FakeS3) -> None:
    s3.put(0, 40)
    reach = ObjectReach(s3, "raw")  # type: ignore[arg-type]
    assert reached(reach) == 40
    s3.objects.clear()
    assert reached(reach) == 0
    s3.put(0, 3)
    assert reached(reach) == 3


def test_a_bucket_that_is_not_there_is_named() -> None:
    with pytest.raises(StageUnreachableError, match="the bucket other cannot be read"):
        reached(ObjectReach(FakeS3(), "other"))  # type: ignore[arg-type]


def test_what_another_put_there_is_passed_over(s3: FakeS3) -> None:
    """Other bytes, and a copy of ours under another name."""
    s3.put(0, 4)
    prefix = partition_prefix(TOPIC, 0)
    s3.objects[f"{prefix}"] = {}
    s3.objects[f"{prefix}copy of x"] = s3.objects[ObjectName(TOPIC, 0, 0).key]
    s3.objects[ObjectName(TOPIC, 0, 722).key] = {}
    s3.objects[ObjectName(TOPIC, 0, 723).key] = {"log-id": "L", "first-offset": "0", "next-offset": "4000"}
    reach = ObjectReach(s3, "raw")  # type: ignore[arg-type]
    assert reached(reach) == 4
    s3.put(4, 9)
    assert reached(reach) == 9
    s3.put(722, 730)
    assert reached(reach) == 730, "somebody took the other bytes away, and the sink came so far"
