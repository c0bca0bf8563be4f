"""What several commands have in common."""

from typing import Any

import click
from pipeline_contracts.audits import PATHS

from pipeline_local.printing import say

format_option = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
)
path_option = click.option("--path", type=click.Choice(PATHS), help="Of one path alone. Default: both.")


def policy_options(function: Any) -> Any:
    """The switches of the questions."""
    for option in (
        click.option("--ties", type=click.Choice(["all", "first"]), help="Keep all of a tie, or the first."),
        click.option("--median", type=click.Choice(["exact", "lower"]), help="Mean of the middle two, or the lower."),
        click.option("--users", type=click.Choice(["persons", "posts"]), help="A user is a person, or one per post."),
        click.option("--from", "from", type=int, help="First year of question 2."),
        click.option("--to", "to", type=int, help="Last year of question 2."),
    ):
        function = option(function)
    return function


def tell(line: str) -> None:
    """Report progress on stderr: stdout is for results."""
    say(line, err=True)
