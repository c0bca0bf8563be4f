"""How fast the dashboard's pages are while people look, and how much memory it takes, charts and all.

Run ``.venv/bin/python benchmarks/dashboard_pages.py --posts 400000``. A lake of so many posts is made, without Spark;
the dashboard runs as its own process, with no other service. Each of ``--people`` opens a page every second, at random,
and polls the live numbers every two, as the script in the page does. Milliseconds until the last byte, as they see it.
Memory is PSS of the process and what it has started, sampled 20 times a second, from the start on.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from dashboard_lake import write_lake
from pipeline_contracts.lake import ANSWERS

BAR_MS = 100.0
PAGES = ["/", "/answers", f"/answers/{next(iter(ANSWERS))}", "/popular", "/records", "/audit"]
LIVE = "/api/v1/live"
_TABLE = f"/api/v1/answers/{next(iter(ANSWERS))}?limit=1000"


class Memory:
    """The highest PSS of the process, and of it with its children, in MiB."""

    def __init__(self, pid: int) -> None:
        self.alone = self.all = 0.0
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(0.05):
            with contextlib.suppress(psutil.NoSuchProcess):
                own = _pss(self._process)
                self.alone = max(self.alone, own)
                self.all = max(self.all, own + sum(map(_pss, self._process.children(recursive=True))))


def _pss(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def get(port: int, path: str) -> tuple[float, int, str]:
    """Milliseconds, status and body of one request on a connection of its own."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    return (time.perf_counter() - began) * 1_000, answer.status, body.decode()


@contextmanager
def running(lake: Path, port: int) -> Iterator[int]:
    """The dashboard over this lake; its process id."""
    environment = {**os.environ, "LAKE_URI": lake.as_uri(), "DASHBOARD_PORT": str(port), "DASHBOARD_LOG_LEVEL": "ERROR"}
    process = subprocess.Popen([sys.executable, "-m", "dashboard"], env=environment)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def until_drawn(port: int, deadline_s: float = 120.0) -> float:
    """Seconds until the page of the answers has its charts."""
    began = time.monotonic()
    while time.monotonic() - began < deadline_s:
        with contextlib.suppress(OSError):
            if get(port, "/answers")[2].count("<svg") >= 2 * (len(ANSWERS) - 1):
                return time.monotonic() - began
        time.sleep(0.1)
    raise SystemExit(f"no charts within {deadline_s:g} s")


def look(port: int, people: int, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each request by its path; an answer that is none ends the measurement."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    wrong: list[str] = []
    end = time.monotonic() + seconds

    def person(number: int) -> None:
        chance = random.Random(number)
        time.sleep(chance.random())
        second = 0
        while time.monotonic() < end and not wrong:
            second += 1
            asked = [chance.choice([*PAGES, _TABLE]), *([LIVE] if second % 2 else [])]
            for path in asked:
                took, status, _ = get(port, path)
                found[path].append(took)
                if status != 200:
                    wrong.append(f"{path}: {status}")
            time.sleep(max(0.0, 1 - (time.monotonic() % 1) + chance.random() - 0.5))

    threads = [threading.Thread(target=person, args=(number,)) for number in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise SystemExit(f"answers that are none: {', '.join(wrong[:5])}")
    return found


def part(sorted_ms: list[float], share: float) -> float:
    """The value below which this share of them is."""
    return sorted_ms[min(len(sorted_ms) - 1, int(share * len(sorted_ms)))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=400_000)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--port", type=int, default=18_950)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-dashboard-") as folder:
        lake = Path(folder) / "lake"
        began = time.monotonic()
        write_lake(lake, options.posts)
        made_s = time.monotonic() - began
        with running(lake, options.port) as pid:
            memory = Memory(pid)
            drawn_s = until_drawn(options.port)
            found = look(options.port, options.people, options.seconds)
            memory.stop()
    every = sorted(took for path, ms in found.items() if path in PAGES for took in ms)
    print(f"{options.posts:,} posts, {options.people} people, {options.seconds:g} s (lake made in {made_s:.0f} s)")
    print(f"{'':52} {'n':>6} {'p50 ms':>8} {'p95 ms':>8} {'most':>8}")
    for path, ms in [*sorted(found.items()), ("all pages", every)]:
        ordered = sorted(ms)
        print(f"{path:52} {len(ms):6} {part(ordered, 0.5):8.1f} {part(ordered, 0.95):8.1f} {ordered[-1]:8.1f}")
    result = {
        "posts": options.posts,
        "charts_after_s": round(drawn_s, 1),
        "pages_p50_ms": round(part(every, 0.5), 1),
        "pages_p95_ms": round(part(every, 0.95), 1),
        "bar_ms": BAR_MS,
        "memory_mib": round(memory.alone),
        "memory_with_child_mib": round(memory.all),
    }
    print(json.dumps(result))
    return 0 if result["pages_p95_ms"] <= BAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
