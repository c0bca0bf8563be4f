"""Rounds of fuzzing on one installation. In each, all surfaces get cases at once while a friendly sender sends; then
everything has to come to rest: ready, every record with its fate, the friendly posts in the tables of both paths.

While it runs: no 5xx for a sender's fault, answers of the documented form, no secret or trace in an answer, no secret
in a log, no process started again.
"""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline_contracts.objects import topic_prefix
from stack import Stack

from fuzzing.case import Finding, Surface, chance_of, shrunk
from fuzzing.friendly import RATE, SWEEP_POSTS, Friendly
from fuzzing.place import Place
from fuzzing.surfaces import SURFACES
from fuzzing.surfaces.bucket import client_of
from fuzzing.watch import Watch

SEND_S = 300.0
READY_S = 60.0
HEALED_S = 180.0
MOST_FINDINGS = 3
"""Of one surface in one round; then it stops, since more would say the same."""


class Campaign:
    """All rounds with one seed. ``say`` gets a line for each finding and each round."""

    def __init__(self, stack: Stack, folder: Path, seed: int, say: Callable[[str], object]) -> None:
        self._stack = stack
        self._seed = seed
        self._say = say
        self._place = Place.of(stack)
        self._watch = Watch(self._place)
        self._friendly = Friendly(stack, folder)
        self._surfaces = {name: surface(self._place) for name, surface in SURFACES.items()}
        self._next = dict.fromkeys(SURFACES, 0)

    def round(self, seconds: float) -> list[Finding]:
        """Fuzz for so long, then let it come to rest; everything that was wrong."""
        first = dict(self._next)
        found = self._fuzz(seconds)
        found += [self._told(finding) for finding in self._rest(first)]
        done = ", ".join(f"{name} {self._next[name] - first[name]}" for name in self._surfaces)
        self._say(f"round: {len(found)} faults; cases: {done}")
        return found

    def replay(self, surface: str, number: int) -> list[Finding]:
        """One case alone, then rest."""
        first = self._next | {surface: number}
        self._next[surface] = number + 1
        return [*self._case(surface, number), *(self._told(finding) for finding in self._rest(first))]

    def _told(self, finding: Finding) -> Finding:
        self._say(finding.lines)
        return finding

    def _fuzz(self, seconds: float) -> list[Finding]:
        end = time.monotonic() + seconds
        found: list[Finding] = []
        folder = str(self._friendly.write())
        sending = self._stack.start("send", "--source", folder, "--path", "both", "--rate", str(RATE))
        with ThreadPoolExecutor(len(self._surfaces)) as pool:
            running = [pool.submit(self._drive, name, surface, end) for name, surface in self._surfaces.items()]
            while any(not one.done() for one in running):
                found += [self._told(finding) for finding in self._seen()]
                time.sleep(1)
        for one in running:
            found += one.result()
        said, _ = sending.communicate(timeout=SEND_S)
        if sending.returncode:
            found.append(self._told(self._of_all(f"the friendly sender: {sending.returncode}: {said[-2000:]}")))
        return found

    def _drive(self, name: str, surface: Surface, end: float) -> list[Finding]:
        """One surface's cases, one after the other."""
        found: list[Finding] = []
        while time.monotonic() < end and len(found) < MOST_FINDINGS:
            number = self._next[name]
            self._next[name] += 1
            found += self._case(name, number)
            time.sleep(surface.pause_s)
        return found

    def _case(self, name: str, number: int) -> list[Finding]:
        case = self._surfaces[name].case(chance_of(self._seed, name, number))
        if not (faults := case.run()):
            return []
        smaller, still = shrunk(case)
        what = "; ".join(still or [*faults, "(not at a second time)"])
        return [self._told(Finding(name, self._seed, number, what, smaller.sent))]

    def _rest(self, first: dict[str, int]) -> Iterator[Finding]:
        """What is wrong once nothing is sent any more."""
        yield from self._seen()
        cancel_runs(self._place)
        if not self._ready_within(READY_S):
            sweep = self._friendly.write(SWEEP_POSTS)
            self._stack.pipeline("send", "--source", str(sweep), "--path", "both")
            if not self._ready_within(HEALED_S):
                yield self._of_all(
                    f"not ready after a sweep of good records: {'; '.join(self._watch.unready())}", first
                )
        yield from self._must_run("analyse", first)
        audit = self._stack.audit()
        if not audit["ok"]:
            lost = [row for row in audit["rows"] if any(row.get(one) for one in ("missing", "doubled", "altered"))]
            yield self._of_all(f"the audit is not ok: {json.dumps(lost or audit)[:4000]}", first)
        for what in (*self._friendly.missing(), *self._unread()):
            yield self._of_all(what, first)
        yield from self._must_run("answers", first)
        yield from self._seen()

    def _must_run(self, command: str, first: dict[str, int]) -> Iterator[Finding]:
        done = self._stack.pipeline(command, check=False)
        if done.returncode:
            yield self._of_all(f"pipeline {command} ended with {done.returncode}: {done.stderr[-2000:]}", first)

    def _unread(self) -> Iterator[str]:
        """Objects below the topics' folders that no ingest has noted."""
        client, names = client_of(self._place), self._place.names
        known = {
            row["object_key"] for row in self._stack.json("query", "select distinct object_key from bronze_objects")
        }
        for topic in (*names.topics, names.dead_letter_topic):
            for page in client.get_paginator("list_objects_v2").paginate(
                Bucket=names.bucket, Prefix=topic_prefix(topic)
            ):
                for entry in page.get("Contents", []):
                    if not entry["Key"].endswith("/") and entry["Key"] not in known:
                        yield f"no ingest has noted the object {entry['Key']!r}"

    def _ready_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self._watch.unready():
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    def _seen(self) -> Iterator[Finding]:
        return (self._of_all(what) for what in self._watch.look())

    def _of_all(self, what: str, first: dict[str, int] | None = None) -> Finding:
        """A finding of no one case, with the cases that may be its cause."""
        ranges = {name: f"{(first or {}).get(name, 0)}-{self._next[name] - 1}" for name in self._surfaces}
        return Finding("all", self._seed, None, f"{what} (after cases {ranges})")


def cancel_runs(place: Place) -> None:
    """Cancel every run of the analyser, and block until none is left (a minute at most).

    Raises:
        AssertionError: some are.
    """
    end = time.monotonic() + 60
    for job in called(place, "GET", "list").get("jobs", []):
        called(place, "POST", "runs/cancel-all", {"job_id": job["job_id"], "all_queued_runs": False})
    while left := called(place, "GET", "runs/list?active_only=true").get("runs", []):
        for run in left:
            called(place, "POST", "runs/cancel", {"run_id": run["run_id"]})
        assert time.monotonic() < end, f"runs that were cancelled are still active: {left}"
        time.sleep(0.5)


def called(place: Place, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One good request to the Jobs API."""
    request = urllib.request.Request(
        f"{place.urls['analyser']}/api/2.2/jobs/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {place.analyser_token}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
