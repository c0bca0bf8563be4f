"""LocalStack's own entry, run by LocalStack's interpreter (``localstack.command``, and the image): a door before it.

And it ends at once when it is told to. Once LocalStack has ended in order, the interpreter would spend two more seconds
on taking its modules apart. Told to end while it starts, LocalStack would stop a server that does not run yet, then run
it for good.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from localstack.runtime import current, events
from localstack.runtime import main as entry

# Behind LocalStack's own packages, so that none of them is hidden.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from pipeline_local.localstack_edge import rest_api
from pipeline_local.localstack_edge.door import Door, Refusal, is_gateway, unsigned


def main() -> None:
    """Run LocalStack to its end, and end this process with its exit code."""
    threading.Thread(target=_leave_while_starting, name="leave-while-starting", daemon=True).start()
    _put_door(Door(os.environ.get("ALLOWED_HOSTS", "")))
    try:
        entry.main()
    except SystemExit as ended:
        _leave(int(ended.code or 0))


def _put_door(door: Door) -> None:
    """Before LocalStack's chain, and once more before its AWS services: a path that no API serves goes on to them."""
    from localstack.aws import handlers  # noqa: PLC0415  # with the gateway: LocalStack's slowest import
    from rolo.serving.twisted import WebsocketResourceDecorator  # noqa: PLC0415

    # Nothing here speaks WebSocket: an Upgrade is not taken up, and the request served as it is. LocalStack would take
    # it up before any handler sees the request, and answer 500 where the rest of the handshake is wrong.
    WebsocketResourceDecorator.render = lambda resource, request: resource.original.render(request)

    chain = current.initialize_runtime().components.gateway.request_handlers

    def first(chain: Any, context: Any, response: Any) -> None:
        _answer(chain, response, door.refusal(context.request.method, context.request.path, context.request.headers))
        if is_gateway(context.request.path):
            rest_api.install()

    def before_services(chain: Any, context: Any, response: Any) -> None:
        _answer(chain, response, unsigned(context.request.headers))

    chain.insert(chain.index(handlers.serve_edge_router_rules) + 1, before_services)
    chain.insert(0, first)


def _answer(chain: Any, response: Any, refusal: Refusal | None) -> None:
    if refusal is not None:
        response.status_code = refusal.status
        response.data = json.dumps({"message": refusal.message})
        response.headers["Content-Type"] = "application/json"
        chain.terminate()


def _leave_while_starting() -> None:
    """Until it is ready it holds nothing that could be lost."""
    events.infra_stopping.wait()
    if not events.infra_ready.is_set():
        _leave(0)


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
