"""One produce request: which log, every record's outcome, and whether it was one log all along."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline_contracts.proxy import NOT_RETRIABLE, RETRIABLE, ProducedRecord

from ingest_proxy.envelope import Record
from ingest_proxy.errors import InvalidEnvelopeError, PartitionNotFoundError, UnavailableError
from ingest_proxy.producer import Sender
from ingest_proxy.topics import Topic, Topics


@dataclass(frozen=True)
class Produced:
    """Outcomes in the order of the records, all of them in the log ``log_id``."""

    log_id: str
    outcomes: list[ProducedRecord]

    @property
    def refused(self) -> bool:
        """Whether nothing is stored, and sending it again cannot help."""
        return all(outcome.error_code == NOT_RETRIABLE for outcome in self.outcomes)


class Ingest:
    """Takes records of one request at a time; safe for many threads."""

    def __init__(
        self,
        topics: Topics,
        sender: Sender,
        send_timeout_s: float,
        retry_after_s: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics = topics
        self._sender = sender
        self._send_timeout_s = send_timeout_s
        self._retry_after_s = retry_after_s
        self._monotonic = monotonic

    def produce(self, topic: str, records: Sequence[Record], partition: int | None) -> Produced:
        """Write the records, to ``partition`` if given. Blocks until the outcome of each is known, or time is up.

        An offset means something only together with the log's id. The id was read before the records were
        sent; where the offsets do not tell, it is read again after the last acknowledgement. Ids never come
        back, so equal ids mean that every offset between is of this log; else the outcome is unknown.

        Raises:
            InvalidEnvelopeError: a record names another partition than the request; nothing was written.
            PartitionNotFoundError: a record names a partition that is not there; nothing was written.
            UnavailableError: none is known to be stored; send the same request again.
        """
        deadline = self._monotonic() + self._send_timeout_s
        log = self._log(topic)
        if partition is not None:
            records = [_placed(index, record, partition) for index, record in enumerate(records)]
        self._check_partitions(log, records)
        sent = self._sender.send(topic, log.log_id, records, deadline)
        outcomes = sent.outcomes
        produced = Produced(log.log_id, outcomes)
        if any(outcome.error_code is None for outcome in outcomes):
            if not sent.certain:
                self._check_same_log(log)
                sent.confirm()
        elif not produced.refused:
            raise self._unavailable(next(o.error for o in outcomes if o.error_code == RETRIABLE) or "Unknown outcome")
        return produced

    def _log(self, topic: str) -> Topic:
        log = self._topics.latest().topics.get(topic) or self._topics.read_now().topics.get(topic)
        if log is None:
            raise self._unavailable(f"Kafka has no topic {topic} yet; send the request again")
        return log

    def _check_partitions(self, log: Topic, records: Sequence[Record]) -> None:
        highest = max((record.partition for record in records if record.partition is not None), default=None)
        if highest is None:
            return
        known = {partition.partition for partition in log.partitions}
        if highest not in known:  # partitions can be added while we run
            fresh = self._topics.read_now().topics.get(log.name, log)
            known = {partition.partition for partition in fresh.partitions}
        for record in records:
            if record.partition is not None and record.partition not in known:
                raise PartitionNotFoundError(log.name, record.partition)

    def _check_same_log(self, log: Topic) -> None:
        now = self._topics.read_now().topics.get(log.name)
        if now is None or now.log_id != log.log_id:
            raise self._unavailable(f"Topic {log.name} was recreated meanwhile; send the request again")

    def _unavailable(self, message: str) -> UnavailableError:
        return UnavailableError(message, self._retry_after_s)


def _placed(index: int, record: Record, partition: int) -> Record:
    if record.partition not in {None, partition}:
        msg = f"The request is for partition {partition}, the record for {record.partition} - at `$.records[{index}]`"
        raise InvalidEnvelopeError(msg)
    return record._replace(partition=partition)
