"""LocalStack's own entry, run by LocalStack's interpreter (``localstack.command``): ends at once when it is told to.

Once LocalStack has ended in order, the interpreter would spend two more seconds on taking its modules apart. Told to
end while it starts, LocalStack would stop a server that does not run yet, then run it for good.
"""

import os
import sys
import threading

from localstack.runtime import events
from localstack.runtime import main as entry


def main() -> None:
    """Run LocalStack to its end, and end this process with its exit code."""
    threading.Thread(target=_leave_while_starting, name="leave-while-starting", daemon=True).start()
    try:
        entry.main()
    except SystemExit as ended:
        _leave(int(ended.code or 0))


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
