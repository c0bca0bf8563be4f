import pytest
from batch_analyser import cli


@pytest.mark.parametrize("name", ["Kids [/b] corner", "[red] shoes [x]", "ok :rainbow: x"])
def test_rows_show_what_was_sent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli._print_rows("top_poster_by_country", [{"poster_name": name, "posts": 1}])
    assert name in capsys.readouterr().out
