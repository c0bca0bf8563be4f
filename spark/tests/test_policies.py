import pytest
from batch_analyser.policies import PolicyError, described, parse_policies
from pipeline_transforms.answers import Policies


def test_absent_options_keep_their_default() -> None:
    assert parse_policies({"ties": None, "median": "", "from": None}) == Policies()
    assert described(Policies()) == {"ties": "all", "median": "exact", "users": "persons"}


def test_text_options_are_converted() -> None:
    chosen = parse_policies({"ties": "first", "from": "2018", "to": 2020})
    assert chosen == Policies(ties="first", from_year=2018, to_year=2020)
    assert described(chosen)["from"] == "2018"


@pytest.mark.parametrize("options", [{"ties": "some"}, {"from": "soon"}, {"colour": "red"}])
def test_bad_options_are_named(options: dict[str, str]) -> None:
    with pytest.raises(PolicyError):
        parse_policies(options)
