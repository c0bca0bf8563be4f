"""What must hold before anything starts: each failure is one line that names the setting."""

import re
import resource
import shutil
import socket
from pathlib import Path
from typing import Final

import psutil

from pipeline_local.topology import LOOPBACK, Topology

GIB = 1024**3
MIN_MEMORY_BYTES = 3 * GIB
"""With Spark that is short-lived, and without Airflow. What the rest adds is rounded from docs/performance.md."""
WARM_SPARK_BYTES = GIB // 2
AIRFLOW_BYTES = GIB // 2
MIN_DISK_BYTES = 2 * GIB
MIN_DISK_BEFORE_SETUP_BYTES = 4 * GIB
MIN_FILES = 1024
"""That a process may have open: what Kafka and Spark open at their start, and some hundred connections."""
MAX_FILES = 65_536

_NOT_IN_PATHS: Final = re.compile(r"[#?\[\]^|\\,]|%[0-9A-Fa-f]{2}")
"""What delta-rs takes for something else in the name of a folder; a comma would give Kafka two."""


def problems(
    topology: Topology,
    home: Path,
    *,
    set_up: bool,
    memory: int | None = None,
    file_limits: tuple[int, int] | None = None,
) -> list[str]:
    """Everything that stands in the way of ``pipeline up``, one line each; empty when nothing does."""
    found = [*_ports(topology)]
    if (files := raised_file_limit(file_limits)[0]) != resource.RLIM_INFINITY and files < MIN_FILES:
        found.append(
            f"a process may open {files} files here, and {MIN_FILES} are needed: raise the limit (`ulimit -Hn`), then "
            "open a new shell"
        )
    if odd := _NOT_IN_PATHS.search(str(home)):
        found.append(f"the folder {home} has {odd[0]} in its path, where no table can be: set PIPELINE_HOME to another")
    available = psutil.virtual_memory().available if memory is None else memory
    needed = needed_memory(topology)
    if available < needed:
        found.append(f"{_gib(available)} GiB of memory are free; {_gib(needed)} GiB are needed")
    wanted = MIN_DISK_BYTES if set_up else MIN_DISK_BEFORE_SETUP_BYTES
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if free < wanted:
        found.append(f"{_gib(free)} GiB are free on the disk of {home}; {_gib(wanted)} GiB are needed")
    return found


def raised_file_limit(limits: tuple[int, int] | None = None) -> tuple[int, int]:
    """Soft and hard limit of open files for services: the soft one as high as the hard one lets it, up to 65,536.

    ``limits`` are those of this process; some systems give a shell 256, and let it have more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE) if limits is None else limits
    if soft == resource.RLIM_INFINITY:
        return soft, hard
    return max(soft, MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)), hard


def needed_memory(topology: Topology) -> int:
    """Bytes that the services take after some thousand events: 3 GiB of a demo, 4.5 of ``pipeline up``."""
    warm = sum(
        value == "false"
        for service in topology.services.values()
        for name, value in service.environment.items()
        if name.endswith("_SHORT_LIVED")
    )
    return MIN_MEMORY_BYTES + warm * WARM_SPARK_BYTES + ("airflow" in topology.services) * AIRFLOW_BYTES


def _ports(topology: Topology) -> list[str]:
    wanted: dict[int, tuple[str, str]] = {}
    found = []
    for service in topology.long_running:
        if service.port is None or service.port_setting is None:
            continue
        ports = {service.port: service.name}
        if service.name == "kafka":
            ports[service.port + 1] = "kafka's controller"
        for port, name in ports.items():
            if port in wanted:
                other, setting = wanted[port]
                found.append(f"{name} and {other} both want port {port}: change {service.port_setting} or {setting}")
            elif not _is_free(port):
                found.append(
                    f"port {port} of {name} is in use: set {service.port_setting} to a free one, in .env or the shell"
                )
            wanted[port] = (name, service.port_setting)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"
