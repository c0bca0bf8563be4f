"""Nothing that checkov finds passes without a reason, and no reason outlives its finding."""

import pytest
from checkov_templates import REASONS, differences, documents, scan
from pipeline_local.layout import Layout


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({*REASONS, ("CKV_AWS_1", "data.RawBucket")}, "CKV_AWS_1 data.RawBucket: fix it, or give a reason"),
        ({*REASONS} - {("CKV_AWS_120", "api.ApiStage")}, "CKV_AWS_120 api.ApiStage: is not found any more"),
    ],
)
def test_a_difference_is_told(found: set[tuple[str, str]], line: str) -> None:
    (told,) = differences(found, REASONS)
    assert told.startswith(line)


def test_what_is_as_it_should_be_needs_no_line() -> None:
    assert differences({*REASONS}, REASONS) == []


def test_checkov_sees_a_broken_template() -> None:
    stack = documents()["streams"]
    del stack["Resources"]["PinStream"]["Properties"]["StreamEncryption"]
    checkov = Layout.of_checkout().checkov_venv / "bin" / "checkov"
    assert list(scan(checkov, {"streams": stack})) == [("CKV_AWS_43", "streams.PinStream")]
