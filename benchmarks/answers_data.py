"""Seeded made-up posts as three files of JSON lines, of the size and shape of real ones."""

import json
import random
from datetime import datetime, timedelta
from pathlib import Path

CATEGORIES = [
    "art",
    "beauty",
    "christmas",
    "diy-and-crafts",
    "education",
    "event-planning",
    "finance",
    "home-decor",
    "mens-fashion",
    "quotes",
    "tattoos",
    "travel",
    "vehicles",
]
WORDS = [
    "the",
    "garden",
    "of",
    "small",
    "things",
    "made",
    "by",
    "hand",
    "with",
    "paper",
    "wood",
    "and",
    "light",
    "for",
    "a",
    "quiet",
    "home",
    "in",
    "winter",
    "🎄",
    "✨",
    "día",
    "über",
]
START = datetime(2017, 10, 1)  # noqa: DTZ001


def write_posts(folder: Path, posts: int, seed: int = 1) -> None:
    """One record of each kind per post, keys in random order; about 700 bytes a pin."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    keys = list(range(posts))
    chance.shuffle(keys)
    posters = [f"{_words(chance, 3)} {number}" for number in range(max(1, posts // 4))]
    countries = [f"Country {number}" for number in range(240)]
    with (
        (folder / "pin.jsonl").open("w") as pin,
        (folder / "geo.jsonl").open("w") as geo,
        (folder / "user.jsonl").open("w") as user,
    ):
        for key in keys:
            _write(pin, _pin(chance, key, posters))
            _write(geo, _geo(chance, key, countries))
            _write(user, _user(chance, key))


def _write(file: object, row: dict[str, object]) -> None:
    file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")  # type: ignore[attr-defined]


def _words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(WORDS, k=count))


def _time(chance: random.Random, years: int) -> str:
    return str(START + timedelta(seconds=chance.randrange(years * 365 * 86_400)))


def _pin(chance: random.Random, key: int, posters: list[str]) -> dict[str, object]:
    category = chance.choice(CATEGORIES)
    nothing = chance.random() < 0.05
    return {
        "index": key,
        "unique_id": f"{chance.getrandbits(128):032x}",
        "title": "No Title Data Available" if nothing else _words(chance, 8),
        "description": "No description available Story format" if nothing else _words(chance, 40) + "\u00a0",
        "poster_name": "User Info Error" if nothing else chance.choice(posters),
        "follower_count": "User Info Error"
        if nothing
        else chance.choice([f"{chance.randrange(1000)}", f"{chance.randrange(1000)}k", f"{chance.randrange(9)}M"]),
        "tag_list": ",".join(chance.choices(WORDS, k=20)),
        "is_image_or_video": chance.choice(["image", "video", "multi-video(story page format)"]),
        "image_src": f"https://i.pinimg.com/originals/{chance.getrandbits(128):032x}.jpg",
        "downloaded": 1,
        "save_location": f"Local save in /data/{category}",
        "category": category,
    }


def _geo(chance: random.Random, key: int, countries: list[str]) -> dict[str, object]:
    return {
        "ind": key,
        "timestamp": _time(chance, 5),
        "latitude": round(chance.uniform(-90, 90), 4),
        "longitude": round(chance.uniform(-180, 180), 4),
        "country": chance.choice(countries),
    }


def _user(chance: random.Random, key: int) -> dict[str, object]:
    return {
        "ind": key,
        "first_name": chance.choice(WORDS).title(),
        "last_name": chance.choice(WORDS).title(),
        "age": chance.randrange(18, 70),
        "date_joined": _time(chance, 3),
    }
