"""A run from its beginning to its summary. ``send`` is the programming interface; the command line uses it too."""

import math
from collections.abc import Sequence
from contextlib import ExitStack, closing

import msgspec
from service_kit.clock import Clock, SystemClock
from service_kit.retries import RetryPolicy
from service_kit.shutdown import Shutdown

from emitter.batch_path import BatchPath
from emitter.delivery import DeliveryPath
from emitter.errors import LedgerError
from emitter.ledger import Ledger, RunKey
from emitter.pacing import Pacer
from emitter.rows import PathName
from emitter.sender import Sender
from emitter.settings import EmitterSettings
from emitter.sources.source import Source
from emitter.stops import Stops
from emitter.stream_path import StreamPath
from emitter.summary import Summary, summarise
from emitter.transport import HttpTransport, Transport
from emitter.watchers import Spectator, Tally

_ANSWER_S = 1.0
"""Within which an answer is expected, for the number of lanes; under load a gateway takes some tenths of that."""

_BROKEN_OFF = "broken off by an error"


class Options(msgspec.Struct, frozen=True):
    """What one run is asked to do. ``events`` None: all there are; ``rate`` None: as fast as accepted."""

    paths: tuple[PathName, ...] = ("batch",)
    events: int | None = None
    rate: float | None = None
    fresh: bool = False


def send(
    settings: EmitterSettings,
    source: Source,
    options: Options,
    *,
    spectators: Sequence[Spectator] = (),
    shutdown: Shutdown | None = None,
    transport: Transport | None = None,
    clock: Clock | None = None,
) -> Summary:
    """Send the source's rows and block until each has a fate, or until the run cannot go on.

    It cannot go on after a request to shut down, when nothing is accepted within the deadline, or when the source
    or the ledger fails in the middle. The summary gives the reason, and nothing is lost: an unfinished run of the
    same source, seed, number of events, pipeline and paths is gone on with by the next call.

    Raises:
        LedgerError: the ledger cannot be used; nothing was sent.
    """
    clock = clock or SystemClock()
    lanes = lanes_of(settings, options.rate)
    tally = Tally(*spectators)
    stops = Stops(shutdown or Shutdown(), clock)
    key = RunKey(source.identity, source.seed, options.events, settings.pipeline_id, options.paths)
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(settings.ledger, clock))
        transport = transport or stack.enter_context(closing(_http(settings, lanes * len(options.paths))))
        run = ledger.begin(key, fresh=options.fresh)
        tally.began(run, options.events)
        sender = Sender(
            source=source,
            ledger=ledger,
            run=run,
            paths=[_path(name, transport, settings, clock) for name in options.paths],
            lanes=lanes,
            pacer=Pacer(options.rate, clock, stops.pause),
            policy=lambda: RetryPolicy(settings.deadline_s, clock=clock),
            stops=stops,
            watcher=tally,
        )
        started = clock.monotonic()
        unfinished: str | None = _BROKEN_OFF
        try:
            unfinished = sender.send(options.events)
        finally:
            seconds = clock.monotonic() - started
            try:
                ledger.close_run(run.id, retried=tally.retried, seconds=seconds, complete=unfinished is None)
            except LedgerError as error:  # on a full disk this fails as the lanes did: what was sent is still told
                unfinished = unfinished or str(error)
    return summarise(settings.ledger, run, unfinished)


def lanes_of(settings: EmitterSettings, rate: float | None) -> int:
    """Requests at a time per path: all that are allowed, or as many as the rate needs.

    Each lane more takes its share of the same records, so that the gateway answers more requests for them. With a
    request in flight for ``_ANSWER_S`` and full, Little's law gives the number.
    """
    if rate is None:
        return settings.lanes
    return min(settings.lanes, math.ceil(rate * _ANSWER_S / settings.batch_size))


def _http(settings: EmitterSettings, connections: int) -> HttpTransport:
    key = settings.gateway_api_key
    return HttpTransport(
        settings.entry_url,
        None if key is None else key.get_secret_value(),
        settings.timeout_s,
        connections,
    )


def _path(name: PathName, transport: Transport, settings: EmitterSettings, clock: Clock) -> DeliveryPath:
    path = BatchPath if name == "batch" else StreamPath
    return path(transport, settings.names, clock, settings.batch_size, settings.batch_bytes)
