"""The stream path: ``PUT /streams/{stream}/records``, Kinesis' PutRecords behind the gateway (docs/wire.md)."""

from collections.abc import Sequence
from typing import Final

import msgspec
from pipeline_contracts.kinesis import (
    MAX_RECORDS_PER_REQUEST,
    MAX_REQUEST_BYTES,
    PutRecordsAnswer,
    PutRecordsResult,
    StreamSummaryAnswer,
)
from pipeline_contracts.names import KINDS, Kind, Names
from service_kit.clock import Clock

from emitter.delivery import all_again, all_refused, decoded, described, retry_after
from emitter.errors import TransportError
from emitter.rows import PathName, Record
from emitter.transport import Answer, Transport
from emitter.verdicts import Again, Reply, Stored, Verdict

_JSON: Final = "application/json"
_ABOUT_CONTENT: Final = frozenset(
    {"ValidationException", "SerializationException", "InvalidArgumentException", "InvalidParameterException"}
)
"""Kinesis' own words for a request that cannot be taken. A stream that is not there (yet) is waited for."""
_GATEWAYS_WORD: Final = "Invalid request body"


class _KinesisError(msgspec.Struct, frozen=True):
    """Kinesis' error body; only ``__type`` is always there. The gateway's own holds a message alone."""

    type: str = msgspec.field(name="__type", default="")
    message: str = ""

    @property
    def name(self) -> str:
        """Without the namespace that some answers put before it."""
        return self.type.rpartition("#")[2]


_decode_summary = msgspec.json.Decoder(StreamSummaryAnswer).decode
_decode_put = msgspec.json.Decoder(PutRecordsAnswer).decode
_decode_error = msgspec.json.Decoder(_KinesisError).decode


class StreamPath:
    """Delivers to streams. ``log_id`` is asked for before the first send, and again after every failure."""

    path: PathName = "stream"

    def __init__(self, transport: Transport, names: Names, clock: Clock, batch_size: int, batch_bytes: int) -> None:
        self._transport = transport
        self._clock = clock
        self.names: dict[Kind, str] = {kind: names.stream(kind) for kind in KINDS}
        self.records_per_request = min(batch_size, MAX_RECORDS_PER_REQUEST)
        self.bytes_per_request = min(batch_bytes, MAX_REQUEST_BYTES)
        self._log_ids: dict[str, str] = {}

    def deliver(self, name: str, records: Sequence[Record]) -> Reply:
        """Send once; entries that failed, or all of it without a whole answer, are to be sent again."""
        try:
            log_id = self._log_ids.get(name)
            if log_id is None:
                answer = self._transport.request("GET", f"/streams/{name}", b"", _JSON)
                found = decoded(answer.body, _decode_summary) if answer.status == 200 else None
                if found is None:
                    return all_again(records, described(answer), retry_after(answer, self._clock))
                log_id = self._log_ids[name] = found.summary.log_id
            answer = self._transport.request("PUT", f"/streams/{name}/records", _body(records), _JSON)
        except TransportError as error:
            self._log_ids.pop(name, None)
            return all_again(records, str(error))
        if answer.status == 200:
            put = decoded(answer.body, _decode_put)
            if put is not None and len(put.records) == len(records):
                return Reply([_verdict(record, log_id) for record in put.records], retry_after(answer, self._clock))
        self._log_ids.pop(name, None)
        return self._whole(answer, records)

    def _whole(self, answer: Answer, records: Sequence[Record]) -> Reply:
        error = decoded(answer.body, _decode_error) or _KinesisError()
        reason = described(answer, f"{error.name} {error.message}".strip() or None)
        about_content = answer.status == 400 and (error.name in _ABOUT_CONTENT or error.message == _GATEWAYS_WORD)
        if answer.status == 413 or about_content:
            return all_refused(records, reason, as_one=True)
        return all_again(records, reason, retry_after(answer, self._clock))


def _body(records: Sequence[Record]) -> bytes:
    return b'{"records":[%b]}' % b",".join(
        b'{"data":%b,"partition-key":"%b"}' % (record.value, record.key.encode()) for record in records
    )


def _verdict(record: PutRecordsResult, log_id: str) -> Verdict:
    if record.sequence_number and record.shard_id:
        return Stored(log_id, record.shard_id, record.sequence_number)
    return Again(f"{record.error_code or 'no sequence number in the answer'} {record.error_message or ''}".strip())
