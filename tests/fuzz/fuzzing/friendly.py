"""Good posts that are sent beside the fuzzer: all of them must get to the answers of both paths."""

import json
import time
from pathlib import Path

from pipeline_contracts.names import KINDS
from raw_objects import post
from stack import Stack

FIRST_IND = 700_000_000
POSTS = 60
"""Of one round."""
RATE = 30
SWEEP_POSTS = 1_500
"""More good records of each kind than a reader looks back on where it judges that too many are bad."""
ARRIVAL_S = 120.0


class Friendly:
    """The posts sent so far, each with a number of its own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._next = FIRST_IND

    def write(self, posts: int = POSTS) -> Path:
        """A folder with so many new posts; they count as sent."""
        folder = self._folder / str(self._next)
        folder.mkdir(parents=True)
        inds = range(self._next, self._next + posts)
        self._next += posts
        for kind in KINDS:
            rows = (json.dumps(post(ind)[kind]) for ind in inds)
            (folder / f"{kind}.jsonl").write_text("\n".join(rows) + "\n")
        return folder

    def missing(self) -> list[str]:
        """Tables without some of the posts; waits for those of the stream path."""
        wanted = self._next - FIRST_IND
        end = time.monotonic() + ARRIVAL_S
        while lacking := [
            f"{table} has {posts} of {wanted} friendly posts" for table, posts in self._counts() if posts != wanted
        ]:
            if time.monotonic() > end or any(told.startswith("silver") for told in lacking):
                return lacking
            time.sleep(2)
        return []

    def _counts(self) -> list[tuple[str, int]]:
        tables = [name for kind in KINDS for name in (f"silver_{kind}", f"stream_pinterest_{kind}_current")]
        which = f"where ind >= {FIRST_IND} and ind < {self._next}"
        query = " union all ".join(
            f"select '{one}' as name, count(distinct ind) as posts from {one} {which}" for one in tables
        )
        return [(row["name"], int(row["posts"])) for row in self._stack.json("query", query)]
