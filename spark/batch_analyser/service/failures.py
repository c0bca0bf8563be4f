"""What a task's failure says to whoever asks: the messages, and nothing of how the JVM or Rust came to them."""

import re
from typing import Final

_TRACE: Final = re.compile(
    r"^\s*(at [\w.$<>/]+.*|\.\.\. \d+ (more|common frames omitted)|Driver stacktrace:|JVM stacktrace:|stack backtrace:"
    r"|\d+: 0x[0-9a-f]+.*|File \".*\", line \d+.*|Traceback \(most recent call last\):|Suppressed: .*)\s*$"
)
_PYTHON_CODE: Final = re.compile(r"^    \S")
_CHARACTERS: Final = 2_000


def told(error: BaseException) -> str:
    """Its type and message, of at most 2,000 characters; traces are in the log alone."""
    lines: list[str] = []
    in_file = False
    for line in str(error).splitlines():
        trace = _TRACE.match(line) is not None
        code = in_file and _PYTHON_CODE.match(line) is not None  # the line of code below that of its file
        in_file = line.lstrip().startswith("File ") and trace
        if line.strip() and not trace and not code and line.strip() not in {part.strip() for part in lines[-3:]}:
            lines.append(line.rstrip())
    text = "\n".join(lines)
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:_CHARACTERS]


def is_of_a_connection(error: BaseException | None) -> bool:
    """Whether Py4J's connection broke. It raises the sockets' own errors, or its own around them."""
    while error is not None:
        if isinstance(error, ConnectionError | EOFError) or type(error).__name__ in {"Py4JNetworkError", "Py4JError"}:
            return True
        error = error.__cause__ or error.__context__
    return False
