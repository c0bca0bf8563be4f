"""LocalStack's own entry, run by LocalStack's interpreter (``localstack.command``).

Once LocalStack has ended in order, the interpreter would spend two more seconds on taking its modules apart.
"""

import os
import sys

from localstack.runtime import main as entry


def main() -> None:
    """Run LocalStack to its end, and end this process with its exit code."""
    try:
        entry.main()
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(ended.code or 0))


if __name__ == "__main__":
    main()
