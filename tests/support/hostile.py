"""Posts whose texts would do harm where somebody took them for more than text."""

import json
from pathlib import Path
from typing import Final

HOSTILE: Final = {
    "markup": "<img src=x onerror=document.title='owned'>",
    "script": "</td></svg><script>document.title='owned'</script>",
    "entity": "&lt;b&gt; &amp; &#0;",
    "bidi": "evil\u202etxt.exe",
    "template": "{{ 7*7 }}{% raw %}${7*7}",
    "quote": "' or \"1\"='1'; drop table pins; --",
    "formula": '=HYPERLINK("http://evil.example","x")',
    "arabic": "مرحبا 👩‍👩‍👧 ﷽",
    "long": "x" * 300,
}
"""By what they try."""


def write_hostile(folder: Path) -> Path:
    """A post for each text, which is its poster, category and country, in the three files that the emitter takes."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, object]]] = {"pin": [], "geo": [], "user": []}
    for number, text in enumerate(HOSTILE.values(), start=900_001):
        rows["pin"].append(
            {
                "index": number,
                "unique_id": f"00000000-0000-4000-8000-{number:012}",
                "title": text,
                "description": text,
                "poster_name": text,
                "follower_count": "900M",
                "tag_list": text,
                "is_image_or_video": "image",
                "image_src": "https://example.com/x.jpg",
                "downloaded": 1,
                "save_location": "Local save in /data/art",
                "category": text[:100],
            }
        )
        rows["geo"].append(
            {
                "ind": number,
                "timestamp": "2022-02-02T02:02:02",
                "latitude": 1.5,
                "longitude": 2.5,
                "country": text[:100],
            }
        )
        rows["user"].append(
            {"ind": number, "first_name": text, "last_name": text, "age": 200, "date_joined": "2017-01-01T00:00:00"}
        )
    for kind, posts in rows.items():
        lines = (json.dumps(post, ensure_ascii=False) + "\n" for post in posts)
        (folder / f"{kind}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder
