"""Every measurement behind docs/performance.md, one after the other; `make bench` runs this.

Usage: .venv/bin/python benchmarks/run.py [--quick] [--only NAME ...]

``--quick`` takes small sizes (about a tenth of the time). Each benchmark prints its own table, says what else the
machine was doing, and can be run alone (`--help`).
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FULL = {
    "proxy": ["proxy.py", "--rounds", "3"],
    "s3-sink": ["s3_sink_drain.py"],
    "answers": ["answers.py", "--posts", "400000"],
    "analysis": ["analysis.py", "--posts", "10000", "400000"],
    "kinesis": ["kinesis_drain.py", "--localstack", "20000"],
    "stream-commits": ["stream_commits.py"],
    "dashboard": ["dashboard_pages.py", "--posts", "400000"],
    "system": ["system.py", "--cold"],
    "containers": ["containers.py", "--cold"],
}
QUICK = {
    "proxy": ["proxy.py", "--seconds", "1", "--cells", "1x32,100x8"],
    "s3-sink": ["s3_sink_drain.py", "--records", "50000", "--runs", "1"],
    "answers": ["answers.py", "--posts", "40000"],
    "analysis": ["analysis.py", "--posts", "10000"],
    "kinesis": ["kinesis_drain.py", "--records", "100000", "--runs", "1"],
    "stream-commits": ["stream_commits.py", "--commits", "10"],
    "dashboard": ["dashboard_pages.py", "--posts", "40000", "--seconds", "10"],
    "system": ["system.py"],
    "containers": ["containers.py"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", nargs="+", choices=list(FULL), help="these alone")
    options = parser.parse_args()
    chosen = QUICK if options.quick else FULL
    failed = []
    for name in options.only or chosen:
        print(f"\n== {name} (load average before: {os.getloadavg()[0]:.2f})", flush=True)
        started = time.monotonic()
        script, *arguments = chosen[name]
        command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
        print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
