"""Keys and tokens of plain processes: made at the first start, another set in each state folder.

Those of ``.env`` stand in the repository, so everybody knows them: no plain process takes one. Any other value, of
``.env`` or of the shell, is the user's own and wins.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

NAMES: Final = ("GATEWAY_API_KEY", "GATEWAY_ADMIN_KEY", "ANALYSER_TOKEN")
PUBLIC: Final = "for-this-machine-only-"
"""Prefix of the public values in the repository."""
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{20,128}")
"""What a service takes (``service_kit.settings.PlainSecret``)."""
_BYTES: Final = 24
_MODE: Final = 0o600


class KeysError(RuntimeError):
    """The file cannot be read or written; the message says what to do."""


def new() -> dict[str, str]:
    """A new random set of all keys."""
    return {name: secrets.token_hex(_BYTES) for name in NAMES}


def make(file: Path) -> None:
    """Write what is missing into the file, which its owner alone can read. Keys that are there stay.

    Raises:
        KeysError: the file is damaged, or cannot be written.
    """
    found = read(file)
    try:
        if found.keys() < set(NAMES):
            draft = file.with_name(f"{file.name}.draft")
            draft.unlink(missing_ok=True)
            with os.fdopen(
                os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="utf-8"
            ) as stream:
                json.dump(new() | found, stream, indent=2)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(file)
        file.chmod(_MODE)
    except OSError as error:
        raise KeysError(f"cannot write the keys of this installation to {file}: {error}") from error


def read(file: Path) -> dict[str, str]:
    """The keys of one installation; empty before its first start.

    Raises:
        KeysError: the file is damaged.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise KeysError(_damaged(file, str(error))) from error
    if not isinstance(document, dict):
        raise KeysError(_damaged(file, "no JSON object"))
    for name, value in document.items():
        if name in NAMES and not (isinstance(value, str) and _KEY.fullmatch(value)):
            raise KeysError(_damaged(file, f"{name} is not 20 to 128 of A-Za-z0-9_-"))
    return {name: document[name] for name in NAMES if name in document}


def private(variables: Mapping[str, str], file: Path) -> dict[str, str]:
    """Variables with this installation's keys in the place of public ones, as far as they are made.

    Raises:
        KeysError: the file is damaged.
    """
    public = [name for name in NAMES if variables.get(name, "").startswith(PUBLIC)]
    own = read(file) if public else {}
    return {**variables, **{name: own[name] for name in public if name in own}}


def _damaged(file: Path, why: str) -> str:
    return f"{file} is damaged ({why}): `pipeline down`, delete it, and `pipeline up` makes other keys"
