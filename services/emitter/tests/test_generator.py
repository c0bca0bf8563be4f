from collections import Counter
from itertools import islice

import msgspec
import pytest
from emitter.rows import Event, Row, examine
from emitter.sources import generator
from emitter.sources.generator import GeneratorSource
from emitter.sources.source import Taken
from pipeline_contracts.events import EVENT_TYPES, Pin
from pipeline_contracts.names import KINDS

ROWS = 24_000


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(islice(GeneratorSource(5).rows(Taken()), ROWS))


def test_same_seed_same_bytes_other_seed_other_posts(rows: list[Row]) -> None:
    assert list(islice(GeneratorSource(5).rows(Taken()), 1_000)) == rows[:1_000]
    keys = [
        {msgspec.json.decode(row.value)["index"] for row in some if row.kind == "pin"}
        for some in (islice(GeneratorSource(6).rows(Taken()), 1_000), rows)
    ]
    assert not keys[0] & keys[1]


def test_goes_on_where_it_was_left(rows: list[Row]) -> None:
    assert list(islice(GeneratorSource(5).rows(Taken().after(rows[:777])), 100)) == rows[777:877]


def test_every_row_can_be_sent_and_is_its_kind_unless_misrouted(rows: list[Row]) -> None:
    misrouted = 0
    for row in rows:
        assert isinstance(examine(row), Event)
        try:
            msgspec.json.decode(row.value, type=EVENT_TYPES[row.kind])
        except msgspec.ValidationError:
            misrouted += 1
            assert row.kind == "user"
            msgspec.json.decode(row.value, type=Pin)
    assert 0.4 < misrouted / (ROWS / 3 * generator.MISROUTED) < 2


def test_a_key_names_one_post(rows: list[Row]) -> None:
    contents: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        event = examine(row)
        assert isinstance(event, Event)
        kind = "pin" if b'"unique_id"' in row.value else row.kind
        contents.setdefault((kind, event.key), set()).add(event.content_hash)
    assert all(len(versions) == 1 for versions in contents.values())
    assert {kind for kind, _ in contents} == set(KINDS)


def test_keys_of_a_full_seed_do_not_collide() -> None:
    block, stride = generator._KEY_BLOCK, generator._KEY_STRIDE
    assert {place * stride % block for place in range(block)} == set(range(block))


def test_shares_are_those_that_the_readme_gives(rows: list[Row]) -> None:
    pins = [msgspec.json.decode(row.value, type=Pin) for row in rows if row.kind == "pin"]
    posts = list({pin.index: pin for pin in pins}.values())
    count = len(posts)

    def share(times: int) -> float:
        return times / count

    assert 1 - count / len(pins) == pytest.approx(generator.REPEATED, abs=0.02)
    assert len({pin.category for pin in posts}) == 13
    followers = Counter((pin.follower_count or "")[-1] for pin in posts)
    assert share(followers["k"]) == pytest.approx(0.72, abs=0.03)
    assert share(followers["M"]) == pytest.approx(generator.FOLLOWERS_M, abs=0.02)
    described = [pin.description or "" for pin in posts]
    assert share(sum(text.endswith("\u00a0") for text in described)) == pytest.approx(0.32, abs=0.03)
    assert share(sum("\n" in text for text in described)) == pytest.approx(generator.LINE_BREAK, abs=0.006)
    assert share(sum(text == "No description available Story format" for text in described)) == pytest.approx(
        generator.STORY, abs=0.02
    )
    assert {text for text in described if text.strip() in {"", "Untitled", "No description available"}} >= {"", " "}
    assert {pin.image_src for pin in posts} >= {"Image src error.", "Image src error"}
    empty = [pin for pin in posts if pin.title == "No Title Data Available"]
    assert share(len(empty)) == pytest.approx(generator.EMPTY_POST, abs=0.006)
    assert {(pin.poster_name, pin.follower_count, pin.downloaded) for pin in empty} == {
        ("User Info Error", "User Info Error", 0)
    }
    forms = Counter(
        "T" if "T" in stamp else ":" if ":" in stamp[:10] else " "
        for stamp in (msgspec.json.decode(row.value)["timestamp"] for row in rows if row.kind == "geo")
    )
    assert forms.total() * (1 - generator.OTHER_DATE_FORM) == pytest.approx(forms[" "], rel=0.01)
    assert min(forms["T"], forms[":"]) > 0
