"""Who is signed in, where a load balancer signs people in (AWS). Nothing here runs on a machine of one's own.

An Application Load Balancer with ``authenticate-oidc`` adds ``x-amzn-oidc-data``: the claims of whoever is signed in,
signed with a key of the load balancer
(https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html). Anybody who
reaches the task past the load balancer could send such a header: so it counts only with a valid signature of ours.
"""

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import jwt
import urllib3
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from flask import abort, request
from service_kit.clock import Clock
from werkzeug.datastructures import Headers

from dashboard.privacy import BySetting, Privacy
from dashboard.settings import Settings

logger = logging.getLogger(__name__)

HEADER: Final = "x-amzn-oidc-data"
ALGORITHM: Final = "ES256"
_KEY_ID: Final = re.compile(r"[0-9a-f-]{36}")
_KEYS: Final = 16
"""Public keys kept; a load balancer changes its key now and then."""
_KEY_BYTES: Final = 4096
_TIMEOUT_S: Final = 3.0
_LONGEST: Final = 16_384
"""Letters of a header that is looked at; a load balancer sends less."""

FetchKey = Callable[[str], bytes]
"""The public key (PEM) of this id; raises ``OSError`` where it cannot be had."""


@dataclass(frozen=True)
class KeyEndpoint:
    """Where AWS publishes the keys of a region's load balancers."""

    region: str

    def __call__(self, key_id: str) -> bytes:
        """The key (PEM). Blocks for some seconds at most.

        Raises:
            OSError: it cannot be had.
        """
        address = f"https://public-keys.auth.elb.{self.region}.amazonaws.com/{key_id}"
        try:
            answer = urllib3.request("GET", address, timeout=_TIMEOUT_S, retries=False, preload_content=False)
            body: bytes = answer.read(_KEY_BYTES)
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"the load balancer's key cannot be fetched: {error}") from error
        if answer.status != 200:
            raise OSError(f"the load balancer's key cannot be fetched: {address} answers {answer.status}")
        return body


class Identity:
    """The claims that a load balancer vouches for. ``signer`` is its ARN. Safe to use from any thread."""

    def __init__(self, signer: str, fetch_key: FetchKey, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._fetch_key = fetch_key
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._lock = threading.Lock()

    def claims(self, headers: Headers) -> Mapping[str, Any] | None:
        """Of whoever sent these headers; None for nobody whom our load balancer has signed in.

        Blocks for some seconds at most, where the load balancer has a new key.
        """
        token = headers.get(HEADER, "")
        if not token or len(token) > _LONGEST:
            return None
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != ALGORITHM or header.get("signer") != self._signer:
                raise jwt.InvalidTokenError("it is not of our load balancer")
            # It says when it ends in the header; claims of that name are the identity provider's.
            options: Any = {"verify_aud": False, "verify_iss": False, "verify_exp": False, "verify_iat": False}
            found = jwt.decode_complete(token, self._key(header.get("kid")), algorithms=[ALGORITHM], options=options)
            claims: dict[str, Any] = found["payload"]
            _check_end(header.get("exp"), self._clock.now())
        except (jwt.PyJWTError, OSError, ValueError) as error:
            logger.warning("a sign-in is refused", extra={"error": str(error)})
            return None
        return claims

    def _key(self, key_id: object) -> EllipticCurvePublicKey:
        if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
            raise jwt.InvalidTokenError("its key has no id")
        with self._lock:
            known = self._keys.get(key_id)
        if known is not None:
            return known
        key = load_pem_public_key(self._fetch_key(key_id))
        if not isinstance(key, EllipticCurvePublicKey):
            raise jwt.InvalidKeyError("it is no key on an elliptic curve")
        with self._lock:
            while len(self._keys) >= _KEYS:
                del self._keys[next(iter(self._keys))]
            self._keys[key_id] = key
        return key


@dataclass(frozen=True)
class ByGroup:
    """Personal data for members of a group of the identity provider alone (``privacy.Privacy``)."""

    identity: Identity
    group: str
    claim: str = "groups"

    @property
    def how_to_show(self) -> str:
        """One line, for people."""
        return (
            f"Members of the group {self.group} see personal data" if self.group else "Nobody sees personal data here"
        )

    def shows_personal(self, headers: Headers) -> bool:
        """Whether the load balancer vouches for a member. An empty group has none."""
        groups = (self.identity.claims(headers) or {}).get(self.claim)
        listed = groups if isinstance(groups, list) else [groups]
        return bool(self.group) and self.group in listed

    def who(self, headers: Headers) -> str:
        """By the address or the subject that the identity provider gives."""
        claims = self.identity.claims(headers) or {}
        return str(claims.get("email") or claims.get("sub") or "nobody who is signed in")


def identity_of(settings: Settings, clock: Clock) -> Identity | None:
    """By the load balancer that the settings name; None where nobody signs people in."""
    if settings.oidc_signer is None:
        return None
    return Identity(settings.oidc_signer, KeyEndpoint(settings.aws_region), clock)


def privacy_of(settings: Settings, identity: Identity | None) -> Privacy:
    """By group where people are signed in, and by the setting where they are not."""
    if identity is None:
        return BySetting(settings.show_personal)
    return ByGroup(identity, settings.personal_group, settings.groups_claim)


def refuse_strangers(identity: Identity) -> None:
    """Answer 401 to a request of nobody whom the load balancer has signed in: it came past the load balancer."""
    if identity.claims(request.headers) is None:
        abort(401)


def _check_end(end: object, now: datetime) -> None:
    """AWS documents it as a text, and sends a number."""
    if not isinstance(end, int | str) or int(end) < now.timestamp():
        raise jwt.ExpiredSignatureError("it has ended")
