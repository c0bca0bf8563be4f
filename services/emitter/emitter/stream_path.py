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
from emitter.stream_ids import StreamIds, Unknown
from emitter.transport import Answer, Transport
from emitter.verdicts import Again, Reply, Stored, Verdict

_JSON: Final = "application/json"
_ABOUT_CONTENT: Final = frozenset(
    {"ValidationException", "SerializationException", "InvalidArgumentException", "InvalidParameterException"}
)
"""Kinesis' own words for a request that cannot be taken. A stream that is not there (yet) is waited for."""
_GATEWAYS_WORD: Final = "Invalid request body"
"""How the gateway's own refusal of a body begins; the reason follows."""
_SAME_FOR_S: Final = 1.0
"""How long a stream is taken to be the one that it was: AWS needs more to delete it and to make another one, in which
every request fails. The laptop's Kinesis can do it in less."""


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
    """Delivers to streams, and says in which one a record is.

    The log id is asked for before the first send and after every failure; and after an answer, when it was last
    seen over ``_SAME_FOR_S`` before that: a request a second for each stream at most, whatever is sent.
    """

    path: PathName = "stream"

    def __init__(self, transport: Transport, names: Names, clock: Clock, batch_size: int, batch_bytes: int) -> None:
        self._transport = transport
        self._clock = clock
        self.names: dict[Kind, str] = {kind: names.stream(kind) for kind in KINDS}
        self.records_per_request = min(batch_size, MAX_RECORDS_PER_REQUEST)
        self.bytes_per_request = min(batch_bytes, MAX_REQUEST_BYTES)
        self._ids = StreamIds(self._ask, clock)

    def deliver(self, name: str, records: Sequence[Record]) -> Reply:
        """Send once; entries that failed, or all of it without a whole answer, are to be sent again.

        So is all of it when the stream that took it is not certain: then it may be stored twice.
        """
        before = self._ids.get(name)
        if isinstance(before, Unknown):
            return all_again(records, before.reason, before.retry_after_s)
        try:
            answer = self._transport.request("PUT", f"/streams/{name}/records", _body(records), _JSON)
        except TransportError as error:
            self._ids.forget(name)
            return all_again(records, str(error))
        put = decoded(answer.body, _decode_put) if answer.status == 200 else None
        if put is None or len(put.records) != len(records):
            self._ids.forget(name)
            return self._whole(answer, records)
        after = self._ids.get(name, within_s=_SAME_FOR_S)
        if isinstance(after, Unknown):
            return all_again(records, after.reason, after.retry_after_s)
        if after != before:
            return all_again(records, "the stream was recreated meanwhile")
        return Reply([_verdict(record, after) for record in put.records], retry_after(answer, self._clock))

    def _ask(self, name: str) -> str | Unknown:
        try:
            answer = self._transport.request("GET", f"/streams/{name}", b"", _JSON)
        except TransportError as error:
            return Unknown(str(error))
        found = decoded(answer.body, _decode_summary) if answer.status == 200 else None
        if found is None:
            return Unknown(described(answer), retry_after(answer, self._clock))
        return found.summary.log_id

    def _whole(self, answer: Answer, records: Sequence[Record]) -> Reply:
        error = decoded(answer.body, _decode_error) or _KinesisError()
        reason = described(answer, f"{error.name} {error.message}".strip() or None)
        about_content = answer.status == 400 and (
            error.name in _ABOUT_CONTENT or error.message.startswith(_GATEWAYS_WORD)
        )
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
