"""Files of the state folder that a power cut, a full disk or a person damaged."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


def set_aside_what_is_no_file(file: Path) -> None:
    """Rename what stands in the place of one of our files and is none, such as a folder, to ``<name>.damaged``.

    Raises:
        OSError: it cannot be renamed.
    """
    if file.is_symlink() or not file.exists() or file.is_file():
        return
    aside = next(
        place
        for number in range(1, 1000)
        if not (place := file.with_name(f"{file.name}.damaged{'' if number == 1 else number}")).exists()
    )
    file.rename(aside)
    logger.warning("set aside what was in the way", extra={"file": str(file), "now": str(aside)})
