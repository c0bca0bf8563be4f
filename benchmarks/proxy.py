"""Records per second, latency and server CPU of the proxy, beside the bare producer on the same broker.

``python benchmarks/proxy.py [--seconds 3] [--rounds 1] [--json FILE] [--cells 100x8,1x32]`` starts its own
broker and proxy, and ends them. The load comes from a process of its own, over raw sockets, so that it shares
no interpreter lock with the server; the table shows the little CPU that it takes. Exit code 1 when an answer
was not 200.
"""

import argparse
import contextlib
import json
import multiprocessing
import multiprocessing.queues
import os
import queue
import random
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from ingest_proxy.producer import client_config
from ingest_proxy.settings import ProxySettings
from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import Names
from pipeline_contracts.proxy import JSON_V2
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from servers import Kafka, free_port

TOPIC = "pinterest.pin"
RECORDS = (1, 10, 100)
CLIENTS = (1, 8, 32)
WARM_UP_S = 1.0
ROWS = 1000


type Results = multiprocessing.queues.Queue[tuple[list[float], int, float]]
"""Latencies in seconds, answers other than 200, CPU seconds of the load itself."""


@dataclass(frozen=True)
class Cell:
    records_per_request: int
    clients: int
    requests_per_s: float
    records_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    server_cpu_s_per_1000: float
    server_cores: float
    load_cores: float
    others_cores: float
    not_200: int


def rows() -> list[bytes]:
    """Pin events of about 710 bytes, the mean of the real ones."""
    chance = random.Random(7)
    made = []
    for index in range(ROWS):
        row = {
            "index": index,
            "unique_id": f"{chance.getrandbits(128):032x}",
            "title": "10 Ideas for a small garden, " + "x" * chance.randint(10, 60),
            "description": "d" * chance.randint(150, 350),
            "poster_name": "The Gardener",
            "follower_count": "124k",
            "tag_list": "Garden Design,Small Garden,Back Gardens,Outdoor Decor,Landscape",
            "is_image_or_video": "image",
            "image_src": f"https://i.example.com/originals/{chance.getrandbits(128):032x}.jpg",
            "downloaded": 1,
            "save_location": "Local save in /data/home-decor",
            "category": "home-decor",
        }
        made.append(json.dumps(row, ensure_ascii=False).encode())
    return made


def requests(records: int, port: int) -> list[bytes]:
    made, encoded = [], rows()
    for first in range(max(ROWS // records, 10)):
        chosen = [encoded[(first * records + n) % ROWS] for n in range(records)]
        body = (
            b'{"records":[' + b",".join(b'{"value":%b,"key":"%d"}' % (row, n) for n, row in enumerate(chosen)) + b"]}"
        )
        head = f"POST /topics/{TOPIC} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {JSON_V2}\r\n"
        made.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return made


class Connection:
    """One client: sends, waits for the whole answer, sends again."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._received = b""

    def send(self, request: bytes) -> None:
        self._received = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """The status line once all of the answer is there."""
        self._received += self.socket.recv(65_536)
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return head[9:12] if len(body) >= length else None


def load(records: int, clients: int, port: int, seconds: float, result: "Results") -> None:
    """Runs in its own process: closed loop over all clients; reports what came within the measured time."""
    bodies = requests(records, port)
    connections = [Connection(port) for _ in range(clients)]
    selector = selectors.DefaultSelector()
    for number, connection in enumerate(connections):
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(bodies[number % len(bodies)])
    turn, latencies, failed = clients, [], 0
    begin = time.perf_counter() + WARM_UP_S
    end = begin + seconds
    cpu: float | None = None
    while (now := time.perf_counter()) < end:
        if cpu is None and now >= begin:
            cpu = time.process_time()
            result.put(([], 0, 0.0))  # the warm-up is over
        for key, _ in selector.select(timeout=0.1):
            connection = key.data
            status = connection.receive()
            if status is None:
                continue
            answered = time.perf_counter()
            if begin <= answered < end:
                latencies.append(answered - connection.sent_at)
                failed += status != b"200"
            connection.send(bodies[turn % len(bodies)])
            turn += 1
    result.put((latencies, failed, time.process_time() - (cpu or 0.0)))


def report_of(child: BaseProcess, result: "Results", seconds: float) -> tuple[list[float], int, float]:
    """The next report of the load. Fails where its process has ended without one, or is a minute late."""
    deadline = time.monotonic() + seconds + 60
    while child.is_alive() and time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            return result.get(timeout=0.2)
    with contextlib.suppress(queue.Empty):
        return result.get(timeout=0.2)
    raise RuntimeError(f"no figures came from the load; the exit code of its process: {child.exitcode}")


def measure(server: psutil.Process, records: int, clients: int, port: int, seconds: float) -> Cell:
    context = multiprocessing.get_context("spawn")
    result: Results = context.Queue()
    child = context.Process(target=load, args=(records, clients, port, seconds, result))
    child.start()
    report_of(child, result, seconds)
    busy, before, started = psutil.cpu_times(), server.cpu_times(), time.perf_counter()
    latencies, failed, load_cpu = report_of(child, result, seconds)
    elapsed = time.perf_counter() - started
    after, busy_after = server.cpu_times(), psutil.cpu_times()
    child.join(10)
    latencies.sort()
    cpu = after.user + after.system - before.user - before.system
    total = sum(busy_after) - sum(busy) - (busy_after.idle - busy.idle) - (busy_after.iowait - busy.iowait)
    done = len(latencies)

    def percentile(share: float) -> float:
        return float(latencies[min(done - 1, int(done * share))] * 1000)

    return Cell(
        records,
        clients,
        done / seconds,
        done * records / seconds,
        percentile(0.50),
        percentile(0.95),
        percentile(0.99),
        cpu / (done * records) * 1000,
        cpu / elapsed,
        load_cpu / elapsed,
        max(0.0, total - cpu - load_cpu) / elapsed,
        failed,
    )


def bare_producer(bootstrap_servers: str, seconds: float) -> dict[str, float]:
    """The limit: the same client with the same settings, rows ready, waiting for nothing but room."""
    producer = Producer(client_config(ProxySettings(bootstrap_servers=bootstrap_servers)))
    encoded, delivered = rows(), [0]

    def report(error: object, _: object) -> None:
        delivered[0] += error is None

    cpu, started = time.process_time(), time.perf_counter()
    turn = 0
    while time.perf_counter() - started < seconds:
        try:
            producer.produce(TOPIC, encoded[turn % ROWS], str(turn % ROWS), on_delivery=report)
            turn += 1
        except BufferError:
            producer.poll(0.01)
        if turn % 100 == 0:
            producer.poll(0)
    producer.flush(30)
    elapsed = time.perf_counter() - started
    return {
        "records_per_s": delivered[0] / elapsed,
        "cpu_s_per_1000": (time.process_time() - cpu) / delivered[0] * 1000,
    }


def start_proxy(bootstrap_servers: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers, "PROXY_PORT": str(port)}
    with (folder / "proxy.log").open("wb") as log:
        child = subprocess.Popen([sys.executable, "-m", "ingest_proxy"], env=env, stdout=log, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return child, port
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    child.kill()
    raise RuntimeError(f"the proxy did not become ready:\n{(folder / 'proxy.log').read_text()[-2000:]}")


def median(cells: list[Cell]) -> Cell:
    """Of each figure; of the answers other than 200 the sum, so that no round's are lost."""
    figures = {name: statistics.median(asdict(cell)[name] for cell in cells) for name in asdict(cells[0])}
    return Cell(**figures | {"not_200": sum(cell.not_200 for cell in cells)})


def show(cells: list[Cell], bare: dict[str, float]) -> None:
    table = Table(
        "records", "clients", "req/s", "records/s", "p50", "p95", "p99", "CPU/1,000", "cores", "load", "others"
    )
    for c in cells:
        table.add_row(
            *(f"{c.records_per_request}", f"{c.clients}", f"{c.requests_per_s:,.0f}", f"{c.records_per_s:,.0f}"),
            *(f"{c.p50_ms:.1f}", f"{c.p95_ms:.1f}", f"{c.p99_ms:.1f}", f"{c.server_cpu_s_per_1000:.4f}"),
            *(f"{c.server_cores:.2f}", f"{c.load_cores:.2f}", f"{c.others_cores:.2f}"),
        )
    console = Console()
    console.print(table)
    console.print(
        f"bare producer: {bare['records_per_s']:,.0f} records/s, {bare['cpu_s_per_1000']:.4f} CPU s per 1,000. "
        "Latency in ms; 'others' are cores used by all else, the broker included."
    )
    if failed := sum(cell.not_200 for cell in cells):
        console.print(f"[red]{failed} answers were not 200[/red]")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of each cell")
    parser.add_argument("--rounds", type=int, default=1, help="repeat all, show medians")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument(
        "--cells", default=",".join(f"{r}x{c}" for r in RECORDS for c in CLIENTS), help="records x clients"
    )
    arguments = parser.parse_args()
    wanted = [tuple(int(part) for part in cell.split("x")) for cell in arguments.cells.split(",")]
    with tempfile.TemporaryDirectory() as name, Kafka(Path(name) / "kafka") as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        topics = [NewTopic(s.name, s.partitions, 1, config=s.config) for s in topic_specs(Names())]
        for future in admin.create_topics(topics).values():
            future.result(30)
        child, port = start_proxy(kafka.bootstrap_servers, Path(name))
        try:
            server = psutil.Process(child.pid)
            runs = [
                [measure(server, records, clients, port, arguments.seconds) for records, clients in wanted]
                for _ in range(arguments.rounds)
            ]
            memory = server.memory_full_info()
        finally:
            child.terminate()
            child.wait(30)
        bare = bare_producer(kafka.bootstrap_servers, arguments.seconds)
    cells = [median(list(column)) for column in zip(*runs, strict=True)]
    show(cells, bare)
    if arguments.json:
        figures = {
            "cells": [asdict(cell) for cell in cells],
            "bare_producer": bare,
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            "proxy_pss_mib": memory.pss / 2**20,
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if any(cell.not_200 for cell in cells) else 0


if __name__ == "__main__":
    sys.exit(main())
