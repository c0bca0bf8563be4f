"""Whom this machine trusts: Java, Node and pip bring lists of their own, and do not know a company's authority.

Standard library alone: the bootstrap uses it before anything is installed, and the build of an image beside ``jars``.
"""

import hashlib
import re
import ssl
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

SETTING = "SSL_CERT_FILE"
OF_SYSTEMS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)
_OF_PIP = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class AuthoritiesError(RuntimeError):
    """The file that SSL_CERT_FILE names holds no certificates."""


def bundle(environment: Mapping[str, str], of_systems: Sequence[str] = OF_SYSTEMS) -> Path | None:
    """The PEM file of all authorities that this machine trusts: SSL_CERT_FILE, else the system's; None if it has none.

    Raises:
        AuthoritiesError: SSL_CERT_FILE names a file without certificates, or none.
    """
    if named := environment.get(SETTING):
        if not _certificates(Path(named)):
            raise AuthoritiesError(
                f"{SETTING}={named} holds no certificates that can be read; name a PEM file, or unset it"
            )
        return Path(named)
    # Python's own comes last: some builds bring a list, too.
    places = [*of_systems, ssl.get_default_verify_paths().cafile]
    return next((Path(place) for place in places if place and _certificates(Path(place))), None)


def for_node(environment: Mapping[str, str], found: Path | None) -> dict[str, str]:
    """Variables that make Node trust them, too; none if the user has configured others."""
    return {} if found is None or environment.get("NODE_EXTRA_CA_CERTS") else {"NODE_EXTRA_CA_CERTS": str(found)}


def for_pip(environment: Mapping[str, str], found: Path | None, configured: str) -> dict[str, str]:
    """Variables that make pip trust them; none if the user set others (``configured``: ``pip config list``)."""
    said = any(environment.get(name) for name in _OF_PIP) or re.search(r"^\S+\.cert=", configured, re.MULTILINE)
    return {} if found is None or said else {"PIP_CERT": str(found)}


def for_java(environment: Mapping[str, str], found: Path | None, store: Path) -> list[str]:
    """Options that make Java trust them, through the file ``store``, which is written, and use HTTPS_PROXY."""
    options = []
    if found is not None:
        store.write_bytes(java_trust_store(found.read_text(encoding="utf-8", errors="replace")))
        options.append(f"-Djavax.net.ssl.trustStore={store}")
    proxy = urlsplit(environment.get("HTTPS_PROXY") or environment.get("https_proxy") or "")
    if proxy.hostname:
        options += [f"-Dhttps.proxyHost={proxy.hostname}", f"-Dhttps.proxyPort={proxy.port or 80}"]
    return options


def java_trust_store(pem: str) -> bytes:
    """Certificates of a PEM bundle as a Java key store.

    Format: https://github.com/openjdk/jdk/blob/master/src/java.base/share/classes/sun/security/provider/JavaKeyStore.java
    """

    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    blocks = _CERTIFICATE.findall(pem)
    body = struct.pack(">III", 0xFEEDFEED, 2, len(blocks))
    for number, block in enumerate(blocks):
        certificate = ssl.PEM_cert_to_DER_cert(block)
        body += struct.pack(">I", 2) + text(f"authority-{number}") + struct.pack(">q", 0)
        body += text("X.509") + struct.pack(">I", len(certificate)) + certificate
    salted = "changeit".encode("utf-16-be") + b"Mighty Aphrodite" + body
    return body + hashlib.sha1(salted, usedforsecurity=False).digest()


def advice(words: str, found: Path | None) -> str:
    """What to do about a download that failed with these last words."""
    if re.search(r"No space left|ENOSPC|Disk quota", words):
        return "The disk is full: make room."
    trusted = f"what is trusted now: {found or 'the lists that Java, Node and pip bring'}"
    certificate = f"If this network has a certificate authority of its own, name its PEM file: {SETTING}=… ({trusted})."
    if re.search(r"certificate|CERT_|SSL|PKIX|self.signed", words, re.IGNORECASE):
        return f"The server's certificate is not known here. {certificate}"
    return f"Is there a way to the server? Behind a proxy, set HTTPS_PROXY. {certificate}"


def _certificates(file: Path) -> int:
    try:
        return len(_CERTIFICATE.findall(file.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return 0
