"""Events made up from a seed, shaped like the original's records (the shares stand in README.md)."""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from random import Random
from typing import Final, NamedTuple

from pipeline_contracts.events import MAX_KEY
from pipeline_contracts.names import Kind

from emitter.rows import Row
from emitter.sources import vocabulary as words
from emitter.sources.source import Taken

# Shares of turns. A turn sends one post: its pin, its geo and its user event.
REPEATED: Final = 0.34
MISROUTED: Final = 0.003
REPEAT_DISTANCE: Final = 6
"""A repeat is one of this many posts sent last."""

# Shares of new posts.
EMPTY_POST: Final = 0.011
"""Title, description, poster, followers, tags and picture all say that there is nothing."""
STORY: Final = 0.074
VIDEO: Final = 0.030
NO_DESCRIPTION: Final = 0.008
NO_TAGS: Final = 0.005
NO_IMAGE: Final = 0.015
FOREIGN_TITLE: Final = 0.09
EMOJI: Final = 0.03
LINE_BREAK: Final = 0.01
NBSP_END: Final = 0.36
KNOWN_POSTER: Final = 0.19
OTHER_DATE_FORM: Final = 0.02
"""Half with ``T``, half with colons; the rest as ``YYYY-MM-DD HH:MM:SS``."""

# Shares of posters.
FOLLOWERS_BARE: Final = 0.20
FOLLOWERS_M: Final = 0.07
FOLLOWERS_DECIMAL: Final = 0.01
"""``1.2k``; the rest is whole thousands."""

KEYS_PER_SEED: Final = 1_000_000
_KEY_BLOCK = 10_007  # a prime, so that every stride walks through all of it
_KEY_STRIDE = 4_099
_KNOWN_POSTERS = 20_000
_POSTED_FROM, _POSTED_DAYS = date(2017, 10, 19), 1_826
_JOINED_FROM, _JOINED_DAYS = date(2015, 10, 21), 728


class _Profile(NamedTuple):
    poster: str
    followers: str
    user: str


class _Post(NamedTuple):
    pin: bytes
    geo: bytes
    user: bytes


def _inner(text: str) -> str:
    """The text as it stands between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _weighted(weights: dict[str, int]) -> list[str]:
    return [_inner(text) for text, weight in weights.items() for _ in range(weight)]


_LEADS, _ENDS, _FOREIGN, _EMOJI, _SENTENCES = (
    [_inner(text) for text in texts]
    for texts in (words.LEADS, words.ENDS, words.FOREIGN_TITLES, words.EMOJI, words.SENTENCES)
)
_CATEGORIES = [
    (
        category,
        things.split("|"),
        ",".join(f"{lead} {tag}" for lead in ("Diy", "Easy", "Modern") for tag in tags.split(",")),
    )
    for category, (weight, things, tags) in words.CATEGORIES.items()
    for _ in range(weight)
]
_COUNTRIES = _weighted(words.FREQUENT_COUNTRIES | dict.fromkeys(words.OTHER_COUNTRIES, words.OTHER_COUNTRY_WEIGHT))
_AGES = [age for age, weight in enumerate(words.AGE_WEIGHTS, words.YOUNGEST) for _ in range(weight)]
_TWO_DIGITS = [f"{number:02d}" for number in range(60)]
_POSTED = [(_POSTED_FROM + timedelta(days)).isoformat() for days in range(_POSTED_DAYS)]
_JOINED = [(_JOINED_FROM + timedelta(days)).isoformat() for days in range(_JOINED_DAYS)]


class GeneratorSource:
    """Endless. The same seed gives the same rows, byte for byte; a row's position is its number, from 1.

    Posts of different seeds have different keys, up to a million posts each and as far as the range of keys
    goes (seeds that are equal modulo 2,147 share theirs).
    """

    identity = "generator"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def rows(self, taken: Taken) -> Iterator[Row]:
        """The rows behind ``taken``; those before are made again and passed over."""
        return islice(self._rows(), taken.rows, None)

    def close(self) -> None:
        """Nothing is held."""

    def _rows(self) -> Iterator[Row]:
        rng = Random(self.seed)  # noqa: S311 (data, not secrets)
        makers = _Posts(rng, self.seed)
        recent: deque[_Post] = deque(maxlen=REPEAT_DISTANCE)
        number = 0
        while True:
            if recent and rng.random() < REPEATED:
                post = recent[int(rng.random() * len(recent))]
            else:
                post = makers.next()
                recent.append(post)
            turn: list[tuple[Kind, bytes]] = [("pin", post.pin), ("geo", post.geo), ("user", post.user)]
            if rng.random() < MISROUTED:
                turn.append(("user", post.pin))
            for kind, value in turn:
                number += 1
                yield Row(kind, value, str(number))


class _Posts:
    def __init__(self, rng: Random, seed: int) -> None:
        self._rng = rng
        self._first_key = seed % (MAX_KEY // KEYS_PER_SEED) * KEYS_PER_SEED
        self._made = 0
        self._profiles: list[_Profile] = []

    def next(self) -> _Post:
        rng = self._rng
        random = rng.random
        block, place = divmod(self._made % KEYS_PER_SEED, _KEY_BLOCK)
        # Keys in no order, as in the original, each once; the last, shorter block stays in order.
        inside = place if (block + 1) * _KEY_BLOCK > KEYS_PER_SEED else place * _KEY_STRIDE % _KEY_BLOCK
        key = self._first_key + block * _KEY_BLOCK + inside
        self._made += 1
        profile = self._profile()
        geo = (
            f'{{"ind":{key},"timestamp":"{self._moment(_POSTED, random())}","latitude":{random() * 180 - 90:.4f},'
            f'"longitude":{random() * 360 - 180:.4f},"country":"{_pick(_COUNTRIES, random())}"}}'
        )
        user = f'{{"ind":{key},{profile.user}}}'
        return _Post(self._pin(key, profile).encode(), geo.encode(), user.encode())

    def _pin(self, key: int, profile: _Profile) -> str:
        random = self._rng.random
        category, things, tags = _pick(_CATEGORIES, random())
        bits = f"{self._rng.getrandbits(256):064x}"
        unique_id = f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:32]}"
        image = f"https://i.pinimg.com/originals/{bits[32:34]}/{bits[34:36]}/{bits[36:38]}/{bits[32:]}.jpg"
        if random() < EMPTY_POST:
            title, description, tags, medium, image = (
                words.NO_TITLE,
                words.NO_DESCRIPTIONS[0],
                words.NO_TAGS,
                "image",
                "",
            )
            poster = followers = words.NO_USER
        else:
            title, description, medium = self._texts(_pick(things, random()))
            poster, followers = profile.poster, profile.followers
            if random() < NO_TAGS:
                tags = words.NO_TAGS
            if random() < NO_IMAGE:
                image = ""
        downloaded = 1 if image else 0
        return (
            f'{{"index":{key},"unique_id":"{unique_id}","title":"{title}","description":"{description}",'
            f'"poster_name":"{poster}","follower_count":"{followers}","tag_list":"{tags}",'
            f'"is_image_or_video":"{medium}","image_src":"{image or _pick(words.NO_IMAGES, random() ** 3)}",'
            f'"downloaded":{downloaded},"save_location":"Local save in /data/{category}","category":"{category}"}}'
        )

    def _texts(self, thing: str) -> tuple[str, str, str]:
        """Title, description and medium of a post that has them."""
        random = self._rng.random
        if random() < FOREIGN_TITLE:
            title = _pick(_FOREIGN, random())
        else:
            title = f"{int(random() * 90) + 5} {_pick(_LEADS, random())} {thing}{_pick(_ENDS, random())}"
        if random() < EMOJI:
            title = f"{title} {_pick(_EMOJI, random())}"
        draw = random()
        if draw < STORY:
            return title, words.STORY_DESCRIPTION, words.STORY_MEDIUM
        medium = "video" if draw < STORY + VIDEO else "image"
        if random() < NO_DESCRIPTION:
            return title, _pick(words.NO_DESCRIPTIONS, random() ** 2), medium
        between = "\\n" if random() < LINE_BREAK else " "
        end = "…\u00a0" if random() < NBSP_END else ""
        emoji = f" {_pick(_EMOJI, random())}" if random() < EMOJI else ""
        description = f"{_pick(_SENTENCES, random())}{between}{_pick(_SENTENCES, random())}{emoji}{end}"
        return title, description, medium

    def _profile(self) -> _Profile:
        """A new poster, or one met before: those that post much are met more often."""
        random = self._rng.random
        known = self._profiles
        profile = _pick(known, random()) if known and random() < KNOWN_POSTER else self._new_profile()
        if len(known) < _KNOWN_POSTERS:
            known.append(profile)
        else:
            known[int(random() * len(known))] = profile
        return profile

    def _new_profile(self) -> _Profile:
        random = self._rng.random
        # Without a number, several profiles share a name, as some do.
        number = f" {int(random() * 100_000)}" if random() < 0.8 else ""
        poster = (
            f"{_pick(words.POSTER_WORDS, random())} {_pick(words.POSTER_NOUNS, random())}{number}"
            f"{_pick(words.POSTER_ENDS, random())}"
        )
        # Squares and powers of an even draw lean to its low end, as the original's ages of membership do.
        first_name = _pick(words.FIRST_NAMES, random() ** 1.5)
        user = (
            f'"first_name":"{first_name}","last_name":"{_pick(words.LAST_NAMES, random())}",'
            f'"age":{_pick(_AGES, random())},"date_joined":"{self._moment(_JOINED, random() ** 2.4)}"'
        )
        return _Profile(poster, self._followers(), user)

    def _followers(self) -> str:
        random = self._rng.random
        draw = random()
        if draw < FOLLOWERS_BARE:
            return str(int(1000 * random() ** 2.5))
        if draw < FOLLOWERS_BARE + FOLLOWERS_M:
            return f"{int(random() ** 2 * 8) + 1}M"
        thousands = 985.0 ** random()
        if draw > 1 - FOLLOWERS_DECIMAL:
            return f"{thousands:.1f}k"
        return f"{int(thousands)}k"

    def _moment(self, days: list[str], where: float) -> str:
        random = self._rng.random
        day = _pick(days, where)
        second = int(random() * 86_400)
        minute, second = divmod(second, 60)
        hour, minute = divmod(minute, 60)
        between = " "
        if random() < OTHER_DATE_FORM:
            if second % 2:
                between = "T"
            else:
                day = day.replace("-", ":")
        return f"{day}{between}{_TWO_DIGITS[hour]}:{_TWO_DIGITS[minute]}:{_TWO_DIGITS[second]}"


def _pick[T](choices: Sequence[T], draw: float) -> T:
    return choices[int(draw * len(choices))]
