"""Produces what no client of ours would: headers whose keys are not UTF-8, times outside of every calendar, bombs.

Raw records are sent by a ProduceRequest by hand, of version 3
(https://kafka.apache.org/protocol.html#The_Messages_Produce), with one record batch
(https://kafka.apache.org/documentation/#recordbatch).
"""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import Producer

_TIMEOUT_S = 10.0
_UNPACKED_BYTES = 120_000_000


@dataclass(frozen=True)
class RawRecord:
    """One record, byte by byte."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = field(default_factory=list)
    timestamp_ms: int = 0


def spoil(bootstrap_servers: str, topic: str, partition: int, records: int) -> None:
    """Store one batch of many records that the client cannot read: some kilobytes that unpack to more than 100 MB."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": "zstd",
            "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
            "linger.ms": 5_000,  # ends with the flush
        }
    )
    value = b"0" * (_UNPACKED_BYTES // records)
    for _ in range(records):
        producer.produce(topic, value, partition=partition)
    if producer.flush(30):
        msg = "the batch was not stored"
        raise RuntimeError(msg)


def produce_raw(bootstrap_servers: str, topic: str, partition: int, records: Sequence[RawRecord]) -> int:
    """Store the records in one batch, ``acks=all``; returns the offset of the first.

    Raises:
        RuntimeError: the broker refused them; the message holds Kafka's error code.
    """
    batch = _batch(records)
    name = topic.encode()
    body = (
        struct.pack(">hhi", -1, -1, int(_TIMEOUT_S * 1_000))  # no transaction, acks, timeout
        + struct.pack(">i", 1)
        + struct.pack(f">h{len(name)}s", len(name), name)
        + struct.pack(">iii", 1, partition, len(batch))
        + batch
    )
    head = struct.pack(">hhih3s", 0, 3, 1, 3, b"raw")  # Produce, version, correlation, client
    host, port = bootstrap_servers.rsplit(":", 1)
    with socket.create_connection((host, int(port)), _TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        answer = _exactly(connection, size)
    # correlation, number of topics, name, number of partitions, partition, error, offset
    at = 4 + 4 + 2 + len(name) + 4
    _partition, error, offset = struct.unpack_from(">ihq", answer, at)
    if error:
        msg = f"Kafka refused the batch with error {error}"
        raise RuntimeError(msg)
    return int(offset)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            msg = "Kafka closed the connection"
            raise RuntimeError(msg)
        data += piece
    return data


def _batch(records: Sequence[RawRecord]) -> bytes:
    first, largest = records[0].timestamp_ms, max(record.timestamp_ms for record in records)
    after_crc = struct.pack(">hiqqqhii", 0, len(records) - 1, first, largest, -1, -1, -1, len(records)) + b"".join(
        _record(number, record, first) for number, record in enumerate(records)
    )
    tail = struct.pack(">ibI", 0, 2, _crc32c(after_crc)) + after_crc  # leader epoch, magic
    return struct.pack(">qi", 0, len(tail)) + tail


def _record(number: int, record: RawRecord, first_timestamp: int) -> bytes:
    headers = b"".join(_bytes(key) + _bytes(value) for key, value in record.headers)
    body = (
        b"\0"
        + _varint(record.timestamp_ms - first_timestamp)
        + _varint(number)
        + _bytes(record.key)
        + _bytes(record.value)
        + _varint(len(record.headers))
        + headers
    )
    return _varint(len(body)) + body


def _bytes(data: bytes | None) -> bytes:
    return _varint(-1) if data is None else _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """Zigzag, seven bits a byte."""
    left = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while left > 0x7F:
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    encoded.append(left)
    return bytes(encoded)


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
