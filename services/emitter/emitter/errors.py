"""What can go wrong with a whole run. A single bad row or refused record is counted, not raised."""


class EmitterError(Exception):
    """Base of all: the message says what, where and what to do."""


class SettingError(EmitterError):
    """A setting cannot be used; nothing was sent."""


class SourceError(EmitterError):
    """The source cannot be opened or read on. Nothing of it is lost: the same command goes on from the ledger."""


class LedgerError(EmitterError):
    """The ledger cannot be used: another process holds it, or the file is of another version."""


class GaveUpError(EmitterError):
    """The other side accepted nothing within the deadline. What was not acknowledged stays in the ledger."""


class TransportError(EmitterError):
    """A request brought no answer: whether its records are stored is unknown."""
