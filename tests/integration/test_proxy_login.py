"""The proxy's clients on a broker that asks for a sign-in as MSK does: SASL/OAUTHBEARER, with tokens that end.

The tokens are unsigned and the line is not TLS, which MSK would refuse; who signs, and what, is tested with the proxy.
"""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from ingest_proxy.envelope import Record
from ingest_proxy.producer import KafkaSender
from ingest_proxy.settings import ProxySettings
from ingest_proxy.topics import KafkaTopics
from servers import Kafka

MODULE = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
TOKEN_S = 8.0
TOPIC = "pinterest.pin"


class Tokens:
    """Gives them out, and counts."""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self, _config: str) -> tuple[str, float]:
        self.given += 1
        now = time.time()
        parts = [{"alg": "none"}, {"sub": "proxy", "iat": now, "exp": now + TOKEN_S}]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
        return f"{'.'.join(encoded)}.", now + TOKEN_S


class SignInKafka(Kafka):
    """A broker that closes a connection whose token has ended."""

    @property
    def login(self) -> dict[str, Any]:
        return login(Tokens())

    def environment(self) -> dict[str, str]:
        protocols = "INTERNAL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"
        return super().environment() | {
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": protocols,
            "KAFKA_SASL_ENABLED_MECHANISMS": "OAUTHBEARER",
            "KAFKA_SASL_MECHANISM_INTER_BROKER_PROTOCOL": "OAUTHBEARER",
            "KAFKA_LISTENER_NAME_INTERNAL_OAUTHBEARER_SASL_JAAS_CONFIG": (
                f'{MODULE} required unsecuredLoginStringClaim_sub="broker";'
            ),
            "KAFKA_CONNECTIONS_MAX_REAUTH_MS": "5000",
        }


def login(tokens: Tokens) -> dict[str, Any]:
    return {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": tokens}


def test_both_clients_sign_in_and_do_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_sender, of_topics = Tokens(), Tokens()
    with SignInKafka(tmp_path / "kafka") as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, **kafka.login})
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(20)
        monkeypatch.setattr(ProxySettings, "login", property(lambda _self: login(of_sender)))
        settings = ProxySettings(bootstrap_servers=kafka.bootstrap_servers)
        sender = KafkaSender(settings)
        topics = KafkaTopics(settings.bootstrap_servers, [TOPIC], sender.renew, login(of_topics))
        try:
            log_id = topics.latest().topics[TOPIC].log_id
            sent, until = 0, time.monotonic() + 2.5 * TOKEN_S
            while time.monotonic() < until:
                pending = sender.send(TOPIC, log_id, [Record(b"1", b"{}")], time.monotonic() + 10)
                assert pending.outcomes[0].offset == sent
                sent += 1
                assert TOPIC in topics.read_now().topics
                time.sleep(0.5)
        finally:
            sender.close()
            topics.close()
    assert of_sender.given >= 3, "a new token before the last one ends"
    assert of_topics.given >= 3
    assert sent > 10
