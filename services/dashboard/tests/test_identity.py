"""Who counts as signed in: whom our load balancer vouches for, and nobody else."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dashboard.compose import build
from dashboard.identity import HEADER, ByGroup, Identity
from dashboard.settings import Settings
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from service_kit.clock import ManualClock
from werkzeug.datastructures import Headers

OURS = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/pinterest/1"
KEY_ID = "12345678-1234-1234-1234-123456789012"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
CLOCK = ManualClock()
LATER = int(CLOCK.now().timestamp()) + 120
CLAIMS = {"sub": "42", "email": "ana@example.com", "groups": ["analysts", "people"], "exp": 1}


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def token(claims: dict[str, Any] | None = None, key: ec.EllipticCurvePrivateKey = KEY, **header: Any) -> str:
    """As a load balancer makes it: its segments are padded, unlike those of other JWTs."""
    known = {"alg": "ES256", "kid": KEY_ID, "signer": OURS, "iss": "https://login", "client": "c", "exp": LATER}
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in (known | header, claims or CLAIMS)
    )
    r, s = decode_dss_signature(key.sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256())))
    signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
    return f"{head}.{body}.{signature}"


class Keys:
    """AWS's endpoint of public keys."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.asked: list[str] = []
        self._is_away = is_away

    def __call__(self, key_id: str) -> bytes:
        self.asked.append(key_id)
        if self._is_away:
            raise OSError("no route")
        return pem(KEY)


def claims(text: str, keys: Keys | None = None) -> Any:
    return Identity(OURS, keys or Keys(), CLOCK).claims(Headers({HEADER: text}))


def test_whom_our_load_balancer_signed_in_has_the_claims_and_its_key_is_fetched_once() -> None:
    keys = Keys()
    identity = Identity(OURS, keys, CLOCK)
    for _ in range(3):
        assert identity.claims(Headers({HEADER: token()})) == CLAIMS
    assert keys.asked == [KEY_ID]
    assert identity.claims(Headers({HEADER: token(exp=str(LATER))})) == CLAIMS


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("nothing", lambda: ""),
        ("another's key", lambda: token(key=OTHER_KEY)),
        ("another's load balancer", lambda: token(signer=OURS.replace("/1", "/2"))),
        ("no load balancer", lambda: token(signer=None)),
        ("one that has ended", lambda: token(exp=LATER - 121)),
        ("one without an end", lambda: token(exp=None)),
        ("one whose end is no number", lambda: token(exp="tomorrow")),
        ("a key in another place", lambda: token(kid="../../../" + KEY_ID)),
        ("no key", lambda: token(kid=None)),
        ("an algorithm without a key", lambda: jwt.encode(CLAIMS, "", "none", {"signer": OURS, "exp": LATER})),
        (
            "an algorithm whose secret everybody knows",
            lambda: jwt.encode(CLAIMS, "s" * 64, "HS256", {"kid": KEY_ID, "signer": OURS, "exp": LATER}),
        ),
        ("other claims under a signature", lambda: swapped(token())),
        ("more than a header", lambda: token({"pad": "x" * 20_000})),
    ],
)
def test_nobody_else_is_signed_in(name: str, made: Callable[[], str]) -> None:
    keys = Keys()
    assert claims(made(), keys) is None, name
    assert set(keys.asked) <= {KEY_ID}


def swapped(text: str) -> str:
    head, _, signature = text.split(".")
    body = base64.urlsafe_b64encode(json.dumps(CLAIMS | {"groups": ["admins"]}).encode()).decode()
    return f"{head}.{body}.{signature}"


def test_without_the_keys_nobody_is_signed_in_and_later_they_are() -> None:
    assert claims(token(), Keys(is_away=True)) is None
    assert claims(token()) == CLAIMS


LETTERS = st.text(st.characters(exclude_characters="\r\n"), max_size=60)


@given(LETTERS | st.builds(".".join, st.lists(LETTERS, min_size=3, max_size=3)))
def test_no_text_signs_anybody_in_or_breaks_anything(text: str) -> None:
    assert claims(text) is None


@pytest.mark.parametrize(
    ("group", "claim", "groups", "shown"),
    [
        ("analysts", "groups", ["people", "analysts"], True),
        ("analysts", "groups", "analysts", True),
        ("analysts", "roles", ["analysts"], False),
        ("analysts", "groups", ["analyst", "analysts2"], False),
        ("analysts", "groups", None, False),
        ("", "groups", [""], False),
    ],
)
def test_personal_data_is_for_members_of_the_group(group: str, claim: str, groups: Any, shown: bool) -> None:
    privacy = ByGroup(Identity(OURS, Keys(), CLOCK), group, claim)
    assert privacy.shows_personal(Headers({HEADER: token({"sub": "42", "groups": groups})})) is shown
    assert privacy.shows_personal(Headers()) is False
    assert privacy.who(Headers({HEADER: token()})) == "ana@example.com"
    assert ("members of" in privacy.how_to_show.lower()) is bool(group)


def test_where_people_are_signed_in_nobody_else_gets_a_page_or_a_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one by a header that was not signed; health is asked without."""
    monkeypatch.setattr("dashboard.identity.KeyEndpoint.__call__", lambda _, key_id: Keys()(key_id))
    monkeypatch.setenv("DASHBOARD_OIDC_SIGNER", OURS)
    monkeypatch.setenv("DASHBOARD_PERSONAL_GROUP", "analysts")
    client = build(Settings.load(), CLOCK, CollectorRegistry()).app.test_client()
    stranger, member = {HEADER: token(key=OTHER_KEY)}, {HEADER: token()}
    for path in ("/", "/api/v1/nothing", "/openapi.json", "/static/style.css"):
        assert client.get(path).status_code == 401, path
        assert client.get(path, headers=stranger).status_code == 401, path
        assert client.get(path, headers=member).status_code != 401, path
    assert client.get("/livez").status_code == 200
