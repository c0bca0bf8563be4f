"""The dashboard and `pipeline answers` on one lake: the same answers, by two readers that share no code."""

import json
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from dashboard.api import answers as api
from dashboard.lake.answers_watch import AnswersWatch
from dashboard.lake.reader import LakeReader
from dashboard.settings import Settings
from dashboard_frame import FrameOfTests
from delta_tables import GOLD, write_answers
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from pipeline_contracts.lake import ANSWERS
from pipeline_local import answers
from pipeline_local.lake import Lake
from servers import LocalStack

NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "age_group": st.sampled_from(["under 18", "18-24", "25-35", "36-50", "+50"]),
    "post_year": st.integers(1, 2100),
    "category_count": st.integers(1, 2**62),
    "follower_count": st.integers(0, 2**62),
    "number_users_joined": st.integers(1, 2**62),
    "median_follower_count": st.floats(0, 1e15),
}


def key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:-1]


def rows_of(name: str) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    row = st.tuples(*(VALUES.get(column, NAMES) for column in GOLD[name]))
    return st.lists(row, max_size=6, unique_by=key)


@given(st.fixed_dictionaries({name: rows_of(name) for name in ANSWERS}), st.integers(0, 2))
@of_hypothesis(max_examples=15, deadline=None)
def test_the_dashboard_shows_what_pipeline_answers_prints(
    generated: dict[str, list[tuple[Any, ...]]], older: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(1, older + 1):
            write_answers(root, {**dict.fromkeys(GOLD, ()), "users_joined_by_year": [(1_900 + number, number)]}, number)
        write_answers(root, generated, older + 1)
        frame = FrameOfTests()
        watch = AnswersWatch(LakeReader(root.as_uri()), frame.clock)
        watch.look()
        client = frame.app([api.blueprint(watch)]).test_client()
        printed = answers.stored(Lake(root))
        for name, rows in printed.tables.items():
            shown = client.get(f"/api/v1/answers/{name}?limit=1000").get_json()
            assert shown["run"]["run_id"] == printed.run_id
            assert shown["run"]["policies"] == printed.policies
            assert in_order(shown["rows"]) == in_order(json.loads(json.dumps(rows)))


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by: Callable[[dict[str, Any]], str] = lambda row: json.dumps(list(row.values()))  # noqa: E731
    return sorted(rows, key=by)


def test_a_lake_in_s3_is_read_and_its_loss_and_return_are_seen(
    localstack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    bucket = f"lake-{uuid.uuid4().hex[:8]}"
    s3 = boto3.client("s3", endpoint_url=localstack.endpoint_url, region_name="us-east-1")
    s3.create_bucket(Bucket=bucket)
    settings = Settings.model_validate({"LAKE_URI": f"s3://{bucket}/lake", "AWS_ENDPOINT_URL": localstack.endpoint_url})
    frame = FrameOfTests()
    watch = AnswersWatch(LakeReader(settings.lake_uri, settings.storage_options), frame.clock)
    watch.look()
    assert watch.answers.block().state == "empty"

    write_answers(tmp_path, {**dict.fromkeys(GOLD, ()), "users_joined_by_year": [(2015, 3)]})
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    for file in files:
        s3.upload_file(str(file), bucket, f"lake/{file.relative_to(tmp_path)}")
    watch.look()
    assert watch.answers.block().known.tables["users_joined_by_year"].rows == (
        {"post_year": 2015, "number_users_joined": 3},
    )
    for file in files:
        s3.delete_object(Bucket=bucket, Key=f"lake/{file.relative_to(tmp_path)}")
    watch.look()
    assert watch.answers.block().state == "empty"
    s3.delete_bucket(Bucket=bucket)
    watch.look()
    assert watch.answers.block().state in {"empty", "error"}
