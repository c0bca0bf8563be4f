"""A surface of HTTP: good requests with changes, and what no answer may be."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from fuzzing import odd
from fuzzing.case import Case
from fuzzing.request import Answer, Request, exchange, mutated

TRACES = (b"Traceback (most recent", b"\tat org.", b"\tat java.", b"py4j", b'File "/', b"Werkzeug Debugger")
FRAMING = {501, 505}
"""Of a request that breaks HTTP itself: a method, an encoding or a version that the server does not have (RFC 9110)."""

LONG_TARGET = 8_000
"""A server may close the connection on a longer one, before it has a request to answer (RFC 9112, 3)."""

Form = Callable[[Answer], str | None]
"""Why an answer in 4xx is not of the documented form; None where it is."""


def coded(answer: Answer) -> str | None:
    """``{"error_code", "message"}``, as our own services answer."""
    document = json.loads(answer.body)
    if isinstance(document, dict) and document.get("error_code") and isinstance(document.get("message"), str):
        return None
    return f"is not an error_code and a message: {answer.body[:300]!r}"


def told(answer: Answer) -> str | None:
    """``{"message"}``, as the gateway answers; Kinesis' own have a type besides."""
    document = json.loads(answer.body)
    if isinstance(document, dict) and any(isinstance(document.get(name), str) for name in ("message", "Message")):
        return None
    return f"has no message: {answer.body[:300]!r}"


@dataclass(frozen=True)
class Target:
    """Who is asked: its address, how it answers errors, and what may stand in no answer.

    ``pages``: it has pages for people, which say errors as a page does. ``below``: other paths are not ours, and may
    say errors as they like.
    """

    url: str
    form: Form
    secrets: Sequence[str]
    pages: bool = False
    below: str = ""

    def faults(self, request: Request, answer: Answer) -> list[str]:
        """What is wrong with an answer, one line each."""
        path = request.target.partition("?")[0]
        found = [f"{answer.status} with {trace!r} in it" for trace in TRACES if trace in answer.body]
        headers = str(answer.headers)
        found += [
            f"{answer.status} with a secret of the installation in it"
            for secret in self.secrets
            if secret.encode() in answer.body or secret in headers
        ]
        if not answer.status:
            may_close = not request.formed or len(request.target) > LONG_TARGET
            return found + ([] if may_close else [f"no answer: {answer.why}"])
        unready = path.endswith("/readyz") and answer.status == 503
        framing = not request.formed or request.method not in {
            "GET",
            "POST",
            "PUT",
            "DELETE",
            "HEAD",
            "OPTIONS",
            "PATCH",
        }
        if answer.status >= 500 and not unready and not (framing and answer.status in FRAMING):
            found.append(f"{answer.status}: {answer.body[:300]!r}")
        has_form = request.formed and request.method.upper() != "HEAD" and request.target.startswith(self.below)
        if has_form and answer.status >= 400 and not unready:
            found += self._form(answer)
        return found

    def _form(self, answer: Answer) -> list[str]:
        kind = answer.headers.get("Content-Type", "")
        if self.pages and kind.startswith("text/html") and answer.body.rstrip().endswith(b"</html>"):
            return []
        if "json" not in kind:
            return [f"{answer.status} of {kind or 'no type'}, not JSON: {answer.body[:300]!r}"]
        try:
            wrong = self.form(answer)
        except ValueError:
            wrong = f"is not JSON: {answer.body[:300]!r}"
        return [f"{answer.status} {wrong}"] if wrong else []


@dataclass(frozen=True)
class WebCase:
    """One request to one target."""

    target: Target
    request: Request

    @property
    def sent(self) -> bytes:
        """The request, without what the connection adds."""
        return self.request.encoded("…")

    def run(self) -> list[str]:
        """Send it."""
        return self.target.faults(self.request, exchange(self.target.url, self.request))

    def smaller(self) -> Iterator[Case]:
        """Less of the request."""
        for less in self.request.smaller():
            yield WebCase(self.target, less)


@dataclass(frozen=True)
class WebSurface:
    """Requests that are good, changed at random. ``documents`` are bodies of some, which are changed as JSON, too."""

    target: Target
    seeds: Sequence[tuple[Request, Callable[[random.Random], object] | None]]
    pause_s: float = 0.0

    def case(self, chance: random.Random) -> Case:
        """A good request, nearly always with changes."""
        request, document = chance.choice(self.seeds)
        if document is not None:
            body = document(chance)
            for _ in range(chance.randrange(3)):
                body = odd.changed(chance, body)
            request = replace(request, body=odd.bytes_of(body))
        return WebCase(self.target, mutated(chance, request))
