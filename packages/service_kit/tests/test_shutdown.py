import os
import signal
import subprocess
import sys
import time

PROGRAM = """
from service_kit.shutdown import Shutdown
shutdown = Shutdown()
shutdown.install()
print("ready", flush=True)
print("asked" if shutdown.wait(30) else "never", flush=True)
"""


def test_sigterm_wakes_a_wait() -> None:
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    started = time.monotonic()
    os.kill(child.pid, signal.SIGTERM)
    assert child.stdout.readline() == "asked\n"
    assert time.monotonic() - started < 10
    assert child.wait(10) == 0
