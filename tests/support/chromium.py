"""The machine's Chromium, for the tests of the dashboard's pages."""

import os
import shutil
from typing import Final

HOW: Final = "apt-get install chromium-headless-shell fonts-noto-core fonts-noto-color-emoji"


def program() -> str | None:
    """The one without a window where there is such a one; None where there is none."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


def is_required() -> bool:
    """Whether tests fail, and are not skipped, where there is none."""
    return os.environ.get("CHROMIUM_REQUIRED") == "1"
