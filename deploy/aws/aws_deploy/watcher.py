"""What a deployment tells about itself while it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One line of a change set."""

    action: str
    resource: str
    kind: str
    replacement: str = ""
    """``True`` or ``Conditional`` where the resource may be recreated."""


@dataclass(frozen=True)
class Progress:
    """One event of a running stack."""

    resource: str
    status: str
    reason: str


class Watcher:
    """Is told what happens; this one says nothing."""

    def changes(self, stack: str, changes: list[Change]) -> None:
        """A change set is about to be executed; empty when there is nothing to change."""

    def rebuilding(self, stack: str) -> None:
        """The stack is about to be deleted and recreated (LocalStack only)."""

    def restarting(self, stack: str) -> None:
        """A stack whose first creation failed is about to be deleted and recreated; it holds nothing."""

    def making_anew(self, stack: str) -> None:
        """The stack is about to be deleted and recreated, since its connectors can be replaced in no other way."""

    def adopted(self, stack: str, difference: str) -> None:
        """The stack has taken over a resource that is not as its template says, and stays so."""

    def progress(self, stack: str, event: Progress) -> None:
        """A resource has moved on."""
