"""LocalStack's own entry, run by LocalStack's interpreter (``localstack.command``, and the image): a door before it,
and a count of the records that streams take.

And it ends at once when it is told to. Once LocalStack has ended in order, the interpreter would spend two more seconds
on taking its modules apart. Told to end while it starts, LocalStack would stop a server that does not run yet, then run
it for good.
"""

import json
import os
import sys
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

from localstack.runtime import current, events
from localstack.runtime import main as entry

# Behind LocalStack's own packages, so that none of them is hidden.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from pipeline_local.localstack_edge import rest_api
from pipeline_local.localstack_edge.door import Door, Refusal, is_gateway, unsigned
from pipeline_local.localstack_edge.records import CONTENT_TYPE, METRICS, StreamRecords


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

    gateway = current.initialize_runtime().components.gateway
    chain, records = gateway.request_handlers, StreamRecords()

    def first(chain: Any, context: Any, response: Any) -> None:
        request = context.request
        refusal = door.refusal(request.method, request.path, request.headers)
        _answer(chain, response, refusal)
        if refusal is None and request.path == METRICS:
            _show(chain, response, records)
        if is_gateway(request.path):
            rest_api.install()

    def before_services(chain: Any, context: Any, response: Any) -> None:
        _answer(chain, response, unsigned(context.request.headers))

    def count(_chain: Any, context: Any, response: Any) -> None:
        if context.operation and context.service.service_name == "kinesis" and response.status_code == HTTPStatus.OK:
            records.took(context.operation.name, context.service_request or {}, context.service_response or {})

    answered = gateway.response_handlers
    answered.insert(answered.index(handlers.parse_service_response) + 1, count)
    chain.insert(chain.index(handlers.serve_edge_router_rules) + 1, before_services)
    chain.insert(0, first)


def _show(chain: Any, response: Any, records: StreamRecords) -> None:
    response.status_code = HTTPStatus.OK
    response.data = records.text()
    response.headers["Content-Type"] = CONTENT_TYPE
    chain.terminate()


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
