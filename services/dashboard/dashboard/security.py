"""Headers of every answer, also of errors and of the operational routes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""No script but ours, nothing from elsewhere, no frame around the page."""


def secured(app: "WSGIApplication") -> "WSGIApplication":
    """``app``, whose every answer has ``HEADERS`` and tells caches to ask again, unless it says another thing."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            named = {name.lower() for name, _ in headers}
            added = {**HEADERS, "Cache-Control": "private, no-cache"}
            return start_response(
                status, [*headers, *((name, text) for name, text in added.items() if name.lower() not in named)], *error
            )

        return app(environ, start)

    return application
