"""The batch path: ``POST /topics/{topic}``, the Kafka REST v2 produce request (docs/wire.md, Proxy)."""

from collections.abc import Sequence
from typing import Final

import msgspec
from pipeline_contracts.names import KINDS, Kind, Names
from pipeline_contracts.proxy import (
    JSON_V2,
    NOT_RETRIABLE,
    TOPIC_ID_HEADER,
    ErrorAnswer,
    ProduceAnswer,
    ProducedRecord,
)
from service_kit.clock import Clock

from emitter.delivery import all_again, all_refused, decoded, described, retry_after
from emitter.errors import TransportError
from emitter.rows import PathName, Record
from emitter.transport import Answer, Transport
from emitter.verdicts import Again, Refused, Reply, Stored, Verdict

_NO_SUCH_PLACE: Final = frozenset({40401, 40402})
"""Codes of the proxy for a topic or partition that this deployment does not have."""
_ABOUT_CONTENT: Final = frozenset({400, 413, 422})
"""One record may be the reason: smaller requests tell which."""

_decode_produced = msgspec.json.Decoder(ProduceAnswer).decode
_decode_error = msgspec.json.Decoder(ErrorAnswer).decode


class BatchPath:
    """Delivers to topics through the gateway and the proxy.

    Keys are JSON numbers, so that Kafka's key is their bare digits; values are the row's own bytes.
    """

    path: PathName = "batch"

    def __init__(self, transport: Transport, names: Names, clock: Clock, batch_size: int, batch_bytes: int) -> None:
        self._transport = transport
        self._clock = clock
        self.names: dict[Kind, str] = {kind: names.topic(kind) for kind in KINDS}
        self.records_per_request = batch_size
        self.bytes_per_request = batch_bytes

    def deliver(self, name: str, records: Sequence[Record]) -> Reply:
        """Send once; without an answer, or with one that is not the proxy's, all of it is to be sent again."""
        try:
            answer = self._transport.request("POST", f"/topics/{name}", _body(records), JSON_V2)
        except TransportError as error:
            return all_again(records, str(error))
        if answer.status in {200, 422}:
            produced = decoded(answer.body, _decode_produced)
            if produced is not None and len(produced.offsets) == len(records):
                log_id = answer.headers.get(TOPIC_ID_HEADER.lower()) or f"topic:{name}"
                return Reply(
                    [_verdict(record, log_id) for record in produced.offsets], retry_after(answer, self._clock)
                )
        return self._whole(answer, records)

    def _whole(self, answer: Answer, records: Sequence[Record]) -> Reply:
        error = decoded(answer.body, _decode_error)
        if answer.status == 413 or (error is not None and _is_final(answer.status, error)):
            reason = described(answer, None if error is None else f"{error.error_code} {error.message}")
            return all_refused(records, reason, as_one=answer.status in _ABOUT_CONTENT)
        # 5xx, or nothing that the proxy says of a record or topic. A gateway that is down, or not deployed (again) yet,
        # also says 403 or 404; a proxy behind a path or name that it does not know says 404 or 421.
        reason = described(answer, None if error is None else error.message)
        return all_again(records, reason, retry_after(answer, self._clock))


def _is_final(status: int, error: ErrorAnswer) -> bool:
    return status in _ABOUT_CONTENT or error.error_code in _NO_SUCH_PLACE


def _body(records: Sequence[Record]) -> bytes:
    return b'{"records":[%b]}' % b",".join(
        b'{"key":%b,"value":%b}' % (record.key.encode(), record.value) for record in records
    )


def _verdict(record: ProducedRecord, log_id: str) -> Verdict:
    if record.error_code == NOT_RETRIABLE:
        return Refused(record.error or "refused by Kafka without a reason")
    if record.error_code is None and record.partition is not None and record.offset is not None and record.offset >= 0:
        return Stored(log_id, str(record.partition), record.offset)
    return Again(record.error or "no offset in the answer")
