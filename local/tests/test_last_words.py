import json

import pytest
from pipeline_local.supervision.last_words import LONGEST, last_words


def ours(level: str, event: str, **fields: object) -> str:
    return json.dumps({"time": "t", "level": level, "service": "s", "logger": "l", "event": event, **fields})


TRACEBACK = """Traceback (most recent call last):
  File "/x/store.py", line 3, in <module>
    open(file)
    ~~~~^^^^^^
sqlite3.DatabaseError: file is not a database"""
JAVA = """[2026-11-30 09:00:00,000] INFO starting (kafka.server.KafkaRaftServer)
[2026-11-30 09:00:01,000] ERROR Exiting Kafka due to fatal exception (kafka.Kafka$)
org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:9092: Address already in use.
\tat org.apache.kafka.network.Acceptor.openServerSocket(SocketServer.scala:733)
Caused by: java.net.BindException: Address already in use
\tat java.base/sun.nio.ch.Net.bind0(Native Method)
\t... 12 more
[2026-11-30 09:00:01,100] INFO shut down completed (kafka.server.KafkaRaftServer)"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", None),
        ("\n  \n", None),
        ("PROXY_PORT: 8082 is in use\n", "PROXY_PORT: 8082 is in use"),
        (f"{ours('info', 'starting')}\nPROXY_PORT: 8082 is in use\n", "PROXY_PORT: 8082 is in use"),
        (TRACEBACK, "sqlite3.DatabaseError: file is not a database"),
        (JAVA, "Caused by: java.net.BindException: Address already in use"),
        (f"{ours('error', 'stopping', error=TRACEBACK)}\n{ours('info', 'stopped')}",
         "stopping: sqlite3.DatabaseError: file is not a database"),
        ("ERROR: [Errno 98] in use\n" + ours("error", "a part ended", part="api-server", exit_code=1, why=[1]),
         "a part ended (part api-server, exit_code 1)"),
        (ours("error", "stopping", key="k", problem="two writers"), "stopping (key k): two writers"),
        (f"{ours('warning', 'no bucket')}\n{ours('info', 'stopped')}", "no bucket"),
        (f"{ours('info', 'stopped')}\n{ours('error', 'cut off')[:20]}", "stopped"),
        ("OpenJDK 64-Bit Server VM warning: x\nthe lake is of another version\n", "the lake is of another version"),
        ("a\x1b[2Jb\u202ec\ud83d", "a\\x1b[2Jb\\u202ec\\ud83d"),
        ("x" * 1000, "x" * (LONGEST - 1) + "…"),
    ],
)  # fmt: skip
def test_the_line_that_says_why(log: str, words: str | None) -> None:
    assert last_words(log) == words
