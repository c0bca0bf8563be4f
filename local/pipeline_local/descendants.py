"""Finds and ends every process that a service started, also one that left its process group.

Each child is started with a marker in its environment, which its own children inherit. So nothing stays behind,
whoever was killed: LocalStack's Kinesis process, for one, outlives a LocalStack that is killed, and holds its files.
"""

import psutil

MARKER = "PIPELINE_PROCESS_OF"
END_DEADLINE_S = 10.0


def of(owner: str) -> list[psutil.Process]:
    """Every process of this user whose marker starts with ``owner``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER, "").startswith(owner):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue  # gone, or somebody else's
    return found


def kill(owner: str) -> int:
    """kill -9 all of them and wait until they are gone; returns how many there were.

    Raises:
        TimeoutError: one is still there after 10 s.
    """
    processes = of(owner)
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue  # it ended by itself meanwhile
    _, alive = psutil.wait_procs(processes, timeout=END_DEADLINE_S)
    alive = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    if alive:
        raise TimeoutError(f"these processes do not end: {[process.pid for process in alive]}")
    return len(processes)
