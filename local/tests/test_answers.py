from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pipeline_contracts.lake import ANSWERS
from pipeline_local.answers import stored
from pipeline_local.installation import InstallationError
from pipeline_local.lake import Lake

AT = datetime(2026, 1, 1, tzinfo=UTC)
MAPS = {"policies": pa.map_(pa.string(), pa.string()), "versions": pa.map_(pa.string(), pa.int64())}


def run(folder: Path, *names: str) -> None:
    versions = [(f"gold/{name}", 0) for name in names]
    row = {"run_id": "r", "finished_at": AT, "policies": [("ties", "all")], "versions": versions}
    schema = pa.schema({"run_id": pa.string(), "finished_at": pa.timestamp("us", "UTC"), **MAPS})
    write_deltalake(folder / "runs", pa.Table.from_pylist([row], schema=schema))
    for name in names:
        write_deltalake(folder / "gold" / name, pa.table({"country": ["Chad"], "run_id": ["r"]}))


def test_the_answers_of_the_last_run(tmp_path: Path) -> None:
    run(tmp_path, *ANSWERS)
    found = stored(Lake(tmp_path))
    assert found.tables == {name: [{"country": "Chad"}] for name in ANSWERS}
    assert (found.policies, found.run_id) == ({"ties": "all"}, "r")


def test_a_question_that_is_newer_than_the_last_run(tmp_path: Path) -> None:
    *before, new = ANSWERS
    run(tmp_path, *before)
    with pytest.raises(InstallationError, match=f"the last run has no answer {new}; run `pipeline analyse`"):
        stored(Lake(tmp_path))
