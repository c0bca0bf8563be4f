"""The folders' ends, carried on from commit to commit, are those that reading the whole ledger gives."""

import msgspec
from batch_analyser.objects.listing import Tail
from batch_analyser.objects.tails import MOST_NOTE_BYTES, Taken, advanced, from_note, to_note
from hypothesis import given
from hypothesis import strategies as st

FOLDERS = ("topics/t.pin/partition=0/", "topics/t.pin/log=B/partition=1/", "topics/t.geo/partition=0/")


def key(folder: str, first: int, width: int = 20) -> str:
    topic, number = folder.split("/")[1], folder.rpartition("=")[2][:-1]
    return f"{folder}{topic}+{number}+{first:0{width}d}.jsonl.gz"


def read_whole(commits: list[list[Taken]]) -> dict[str, Tail]:
    """As ``jobs.find_new.tails`` does it in Spark: the last state of each key, in the order of ranges."""
    state: dict[str, Taken] = {}
    for commit in commits:
        for row in commit:
            before = state.get(row.key)
            state[row.key] = row if before is None else row._replace(next=max(row.next, before.next))
    found: dict[str, Tail] = {}
    for folder in {one.rpartition("/")[0] + "/" for one in state}:
        rows = [row for one, row in state.items() if one.rpartition("/")[0] + "/" == folder]
        reach, even = 0, len({len(row.key) for row in rows}) == 1
        for row in sorted(rows, key=lambda row: (row.first, row.next)):
            even = even and row.first <= reach
            reach = max(reach, row.next)
        *_, before, last = [None, *sorted(rows)]
        assert last is not None
        found[folder] = Tail(last.key, last.etag, None if before is None else before.key, even, reach)
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[list[Taken]]:
    """What a sink writes, with what else happens: holes, rewritten and older objects, other widths and names."""
    ends = dict.fromkeys(FOLDERS, 0)
    written: list[Taken] = []
    commits = []
    for _ in range(draw(st.integers(1, 6))):
        rows: dict[str, Taken] = {}
        for _ in range(draw(st.integers(0, 4))):
            folder, size = draw(st.sampled_from(FOLDERS)), draw(st.integers(1, 9))
            first = ends[folder]
            what = draw(st.sampled_from(["next"] * 12 + ["hole", "again", "width", "earlier", "name"]))
            if what == "again" and written:
                old = draw(st.sampled_from(written))
                rows[old.key] = old._replace(etag=f"e{len(written)}", next=old.first + size)
                continue
            first += 3 if what == "hole" else 0
            first = max(0, first - 5) if what == "earlier" else first
            name = f"{folder}part.json" if what == "name" else key(folder, first, 10 if what == "width" else 20)
            rows[name] = Taken(name, f"e{len(written)}", first, first + size)
            ends[folder] = max(ends[folder], first + size)
        written += rows.values()
        commits.append(list(rows.values()))
    return commits


@given(histories())
def test_a_note_says_what_the_whole_ledger_says(commits: list[list[Taken]]) -> None:
    """Each commit goes on from what the one before noted, or from the ledger where that noted nothing."""
    known: dict[str, Tail] | None = {}
    for number, commit in enumerate(commits, start=1):
        known = advanced(known, commit)
        whole = read_whole(commits[:number])
        if known is not None:
            assert known == whole
        note = to_note(known)
        if note is not None:
            assert from_note(note) == whole
            assert all(tail.even for tail in whole.values())
        known = whole if note is None else from_note(note)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_a_sink_that_only_goes_on_is_always_noted(sizes: list[int]) -> None:
    known: dict[str, Tail] | None = {}
    first = 0
    for size in sizes:
        known = advanced(known, [Taken(key(FOLDERS[0], first), "e", first, first + size)])
        assert known == from_note(to_note(known))
        first += size
    assert known is not None
    assert known[FOLDERS[0]].reach == first


def test_other_notes_are_none() -> None:
    for note in (None, "", "{", "[]", '{"cleaned_batch":3}', '{"object_tails":{"x":[1]}}'):
        assert from_note(note) is None
    many = {f"topics/t.pin/partition={number}/": Tail("k" * 60, "e" * 32, None, even=True) for number in range(1000)}
    assert len(msgspec.json.encode(many)) > MOST_NOTE_BYTES
    assert to_note(many) is None
