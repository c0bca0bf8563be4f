from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import batched

import pytest
from batch_analyser.objects.listing import (
    Bucket,
    Listed,
    Tail,
    in_commits,
    in_tasks,
    list_candidates,
    new_objects,
)
from botocore.exceptions import ClientError

PREFIX = "topics/t.pin/partition=0/"


class FakePaginator:
    def __init__(self, client: "FakeS3") -> None:
        self._client = client

    def paginate(self, *, Bucket: str, Prefix: str, Delimiter: str, StartAfter: str) -> Iterator[dict[str, object]]:
        self._client.calls.append((Prefix, StartAfter))
        if Bucket != "raw":
            raise ClientError({"Error": {"Code": "NoSuchBucket", "Message": ""}}, "ListObjectsV2")
        entries: dict[str, dict[str, object] | None] = {}
        for key, etag in sorted(self._client.objects.items()):
            if key.startswith(Prefix) and key > StartAfter:
                rest = key.removeprefix(Prefix)
                if Delimiter in rest:
                    entries[Prefix + rest.split(Delimiter)[0] + Delimiter] = None
                else:
                    entries[key] = {
                        "Key": key,
                        "ETag": f'"{etag}"',
                        "Size": self._client.sizes.get(key, 10),
                        "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
                    }
        for page in batched(sorted(entries.items()), 2) if entries else [()]:
            yield {
                "Contents": [entry for _, entry in page if entry is not None],
                "CommonPrefixes": [{"Prefix": prefix} for prefix, entry in page if entry is None],
            }


class FakeS3:
    """What the listing uses of S3: sorted keys, pages, folders by delimiter."""

    def __init__(self, objects: dict[str, str]) -> None:
        self.objects = objects
        self.calls: list[tuple[str, str]] = []
        self.sizes: dict[str, int] = {}

    def get_paginator(self, _name: str) -> FakePaginator:
        return FakePaginator(self)


def name(offset: int, width: int = 20, prefix: str = PREFIX) -> str:
    return f"{prefix}t.pin+0+{offset:0{width}d}.jsonl.gz"


def candidates(objects: dict[str, str], tails: dict[str, Tail], *, all_keys: bool = False) -> list[str]:
    bucket = Bucket(FakeS3(objects), "raw")  # type: ignore[arg-type]
    return [entry.key for entry in list_candidates(bucket, ["t.pin"], tails, all_keys=all_keys).candidates]


def test_an_unknown_folder_is_listed_whole() -> None:
    objects = {name(offset): "e" for offset in (0, 5, 9)}
    assert candidates(objects, {}) == [name(0), name(5), name(9)]


def test_a_known_folder_is_listed_from_its_last_key() -> None:
    objects = {name(offset): "e" for offset in range(10)}
    client = FakeS3(objects)
    tails = {PREFIX: Tail(name(7), "e", name(6), even=True)}
    listing = list_candidates(Bucket(client, "raw"), ["t.pin"], tails, all_keys=False)  # type: ignore[arg-type]
    assert [entry.key for entry in listing.candidates] == [name(8), name(9)]
    assert listing.listed == 3
    assert (PREFIX, name(6)) in client.calls


def test_a_rewritten_last_object_makes_the_folder_be_listed_again() -> None:
    objects = {name(0): "e", name(5): "new", name(9): "e"}
    assert candidates(objects, {PREFIX: Tail(name(5), "old", name(0), even=True)}) == [name(0), name(5), name(9)]


def test_a_bucket_made_anew_is_listed_again() -> None:
    assert candidates({name(0): "x"}, {PREFIX: Tail(name(5), "e", name(0), even=True)}) == [name(0)]


@pytest.mark.parametrize(
    "tail",
    [
        Tail(name(12, 1), "e", name(11, 1), even=True),  # no padding: 100 sorts before 12
        Tail(name(12), "e", name(11, 1), even=False),
        Tail(f"{PREFIX}other.json", "e", name(11), even=True),
        Tail(name(1_000_000_000, 10), "e", name(7, 10), even=True),  # ten digits, full
    ],
)
def test_names_that_may_not_sort_are_listed_whole(tail: Tail) -> None:
    assert tail.start_after is None


def test_all_keys_on_request() -> None:
    objects = {name(offset): "e" for offset in range(3)}
    assert candidates(objects, {PREFIX: Tail(name(2), "e", name(1), even=True)}, all_keys=True) == [name(0), name(1)]


def test_a_new_logs_folder_and_objects_beside_partitions_are_found() -> None:
    later = "topics/t.pin/log=ABC/partition=0/"
    objects = {
        name(0): "e",
        name(0, prefix=later): "e",
        "topics/t.pin/year=2022/a.json": "e",
        "topics/t.pin/b.json": "e",
    }
    assert sorted(candidates(objects, {})) == sorted(objects)


@pytest.mark.parametrize("all_keys", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_objects_in_folders_below_a_partition_are_found(known: bool, all_keys: bool) -> None:
    """Whether the partition's own objects are known or not, and on which side of them the folder's name sorts."""
    below = [f"{PREFIX}2020/07/x.json", f"{PREFIX}zzz/y.json", f"{PREFIX}/z.json", f"{PREFIX}2020/partition=1/w.json"]
    objects = dict.fromkeys([*below, *(name(offset) for offset in range(10))], "e")
    tails = {PREFIX: Tail(name(9), "e", name(8), even=True)} if known else {}
    found = candidates(objects, tails, all_keys=all_keys)
    assert sorted(set(found) - {name(offset) for offset in range(10)}) == sorted(below)
    assert len(found) == len(set(found))


def test_a_folders_marker_is_no_object_but_one_with_content_is() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    keys = [PREFIX, f"{PREFIX}2020/", f"{PREFIX}2020/a.json"]
    client = FakeS3(dict.fromkeys(keys, "e"))
    client.sizes = {PREFIX: 0, f"{PREFIX}2020/": 3}
    listing = list_candidates(Bucket(client, "raw"), ["t.pin"], {}, all_keys=False)  # type: ignore[arg-type]
    assert sorted(listing.candidates) == [
        Listed(key, "e", size, moment) for key, size in zip(keys[1:], [3, 10], strict=True)
    ]


def test_other_topics_are_left_alone() -> None:
    assert candidates({"topics/t.pin2/partition=0/t.pin2+0+0.json": "e", "else": "e"}, {}) == []


def test_known_states_are_not_new() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    listed = [Listed("b", "1", 1, moment), Listed("a", "2", 1, moment), Listed("a", "3", 1, moment)]
    assert [(entry.key, entry.etag) for entry in new_objects(listed, {("a", "2"), ("b", "9")})] == [
        ("a", "3"),
        ("b", "1"),
    ]


def entries(*sizes: int) -> list[Listed]:
    return [Listed(f"{n:03d}", "e", size, datetime(2026, 1, 1, tzinfo=UTC)) for n, size in enumerate(sizes)]


def test_a_backlog_is_cut_by_count_and_by_bytes() -> None:
    assert [len(part) for part in in_commits(entries(1, 1, 1, 1, 1), 2, 100)] == [2, 2, 1]
    assert [len(part) for part in in_commits(entries(60, 60, 500, 1, 1), 10, 100)] == [1, 1, 1, 2]
    assert list(in_commits([], 2, 2)) == []


@pytest.mark.parametrize("tasks", [1, 2, 3, 8])
def test_tasks_get_neighbours_and_nothing_is_left_out(tasks: int) -> None:
    objects = entries(*[10, 5_000_000, 10, 10, 2_000_000])
    runs = in_tasks(objects, tasks)
    assert [entry for run in runs for entry in run] == objects
    assert 1 <= len(runs) <= tasks
    assert all(runs)
