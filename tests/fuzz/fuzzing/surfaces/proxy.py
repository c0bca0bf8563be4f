"""The proxy at its own port."""

import base64
import random
from typing import Any

from pipeline_contracts.names import KINDS

from fuzzing import odd
from fuzzing.place import Place
from fuzzing.request import Request
from fuzzing.surfaces.gateway import produced
from fuzzing.web import Target, WebSurface, coded


def surface(place: Place) -> WebSurface:
    """Produce requests of each format, and metadata."""
    seeds: list[Any] = []
    for kind in KINDS:
        topic = f"/topics/{place.names.topic(kind)}"
        for path in (topic, f"{topic}/partitions/1"):
            seeds += [
                (Request("POST", path, (("Content-Type", "application/vnd.kafka.json.v2+json"),)), produced),
                (Request("POST", path, (("Content-Type", "application/vnd.kafka.binary.v2+json"),)), binary),
                (Request("POST", path, (("Content-Type", "application/vnd.kafka.avro.v2+json"),)), avro),
            ]
        seeds += [
            (Request("GET", path), None) for path in (topic, f"{topic}/partitions", f"{topic}/partitions/0/offsets")
        ]
    seeds += [(Request("GET", path), None) for path in ("/topics", "/brokers", "/openapi.json")]
    return WebSurface(Target(place.urls["proxy"], coded, place.secrets), seeds)


def binary(chance: random.Random) -> dict[str, Any]:
    """Records in Base64: any bytes."""
    return {
        "records": [{"value": base64.b64encode(odd.payload(chance)).decode()} for _ in range(chance.randrange(1, 4))]
    }


def avro(chance: random.Random) -> dict[str, Any]:
    """A format that is refused, with or without its schema."""
    return {"value_schema": odd.text(chance), "records": [{"value": odd.row(chance)[1]}]}
