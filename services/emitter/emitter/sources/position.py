"""Where a run stands in one table of a database."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """Where a run stands in one table. ``key`` is empty before the first row and among rows without a key."""

    key: str = ""
    place: int = 0
    read: int = 0
    """0 where nobody has counted: positions of earlier versions are ``<key>#<place>``."""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.key}#{self.place}@{self.read}.{self.digest}"

    @classmethod
    def parsed(cls, text: str) -> "Position":
        """The inverse of ``str``; keys may hold any character."""
        key, _, rest = text.rpartition("#")
        place, _, counted = rest.partition("@")
        read, _, digest = counted.partition(".")
        return cls(key, int(place), int(read or 0), digest)
