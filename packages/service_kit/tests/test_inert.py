import json
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_kit.inert import json_text, visible

# ZWNJ and ZWJ, and signs of Arabic, Syriac and Kaithi that are written around digits.
SHOWN = {"\u200c", "\u200d", *map(chr, (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD))}
OBEYED = {
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in SHOWN
}
HOSTILE = st.text(st.one_of(st.sampled_from(sorted(OBEYED)), st.characters()))


def test_unicodes_own_list_is_escaped_and_nothing_else() -> None:
    assert {character for character in map(chr, range(sys.maxunicode + 1)) if visible(character) != character} == OBEYED


@settings(deadline=None)
@given(HOSTILE)
def test_text_is_visible_and_json_means_the_same(text: str) -> None:
    assert not OBEYED & set(visible(text))
    written = json_text({text: [text]})
    assert not OBEYED & set(written)
    assert json.loads(written) == {text: [text]}
    assert not OBEYED & set(json_text([text], indent=2)) - {"\n"}


@pytest.mark.parametrize("name", ["Zoë 中文 😀 👩‍👧 می‌خواهم", "C:\\new", "[/red]", "a b"])
def test_ordinary_names_stay(name: str) -> None:
    assert visible(name) == name
    assert json_text(name) == json.dumps(name, ensure_ascii=False)


def test_how_it_is_written() -> None:
    assert visible("\x1b]0;x\x07\u009b31m\u202ea\ttab\nline\ud83d") == r"\x1b]0;x\x07\x9b31m\u202ea\ttab\nline\ud83d"
    assert visible("a\tb\nc\r", keep="\n\t") == "a\tb\nc\\r"
