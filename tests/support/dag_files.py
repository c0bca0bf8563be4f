"""The files of ``dags/``, read as Airflow reads them."""

import importlib.util
import socket
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DAGS = Path(__file__).parents[2] / "dags"


def load(file: Path) -> tuple[ModuleType, float]:
    """The file, read as Airflow does, with every way out shut; and the seconds it took."""

    def no_network(*_: Any, **__: Any) -> None:
        raise AssertionError(f"{file.name} opens a connection at import")

    spec = importlib.util.spec_from_file_location(f"dag_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", no_network)
        started = time.process_time()
        spec.loader.exec_module(module)
        return module, time.process_time() - started
