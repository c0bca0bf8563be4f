"""What an installation has put outside its folders: the home folder, temporary folders, caches."""

import sys
from collections.abc import Iterable
from pathlib import Path

import psutil
from pipeline_local import descendants
from pipeline_local.layout import Layout

ROOT = Path(__file__).parents[2]
SHARED = ("/tmp", "/var/tmp", "/dev/shm", str(Path.home()))  # looked at, not written to


def left_in(*folders: Path) -> list[str]:
    """Everything in folders that ought to be empty."""
    return [str(file) for folder in folders for file in folder.rglob("*")]


def held_by(home: Path) -> list[str]:
    """What the processes of the installation in ``home`` hold open or map (native libraries) elsewhere."""
    own = {home, ROOT, Layout.of_checkout().tools.resolve(), Path(sys.prefix), Path(sys.base_prefix).resolve()}
    found = set()
    for process in descendants.of(f"{home}/"):
        try:
            files = {file.path for file in process.open_files()} | {part.path for part in process.memory_maps()}
        except psutil.NoSuchProcess:
            continue
        found |= _foreign(files, own)
        found |= {str(file) for folder in SHARED[:1] for file in Path(folder).glob(f"hsperfdata_*/{process.pid}")}
    return sorted(found)


def _foreign(files: Iterable[str], own: Iterable[Path]) -> set[str]:
    return {
        file
        for file in files
        if any(Path(file).is_relative_to(folder) for folder in SHARED)
        and not any(Path(file).is_relative_to(folder) for folder in own)
        and not _is_unnamed_memory(Path(file))
    }


def _is_unnamed_memory(file: Path) -> bool:
    """Memory and semaphores that processes share, as in Airflow's executor: their names are gone once they are made."""
    return file.is_relative_to("/dev/shm") and not file.exists()
