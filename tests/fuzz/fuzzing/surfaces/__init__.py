"""All surfaces, by name: a new one is a module here and a line below."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from fuzzing.case import Surface
from fuzzing.place import Place
from fuzzing.surfaces import dashboard, gateway, jobs_api, proxy, stream_reader
from fuzzing.surfaces.bucket import BucketBytes
from fuzzing.surfaces.described import Described
from fuzzing.surfaces.kafka import KafkaBytes
from fuzzing.surfaces.kinesis import KinesisBytes
from fuzzing.surfaces.operations import Operations

SURFACES: Final[Mapping[str, Callable[[Place], Surface]]] = MappingProxyType(
    {
        "gateway": gateway.surface,
        "proxy": proxy.surface,
        "jobs-api": jobs_api.surface,
        "stream-reader": stream_reader.surface,
        "dashboard": dashboard.surface,
        "operations": Operations,
        "described": Described,
        "kafka": KafkaBytes,
        "bucket": BucketBytes,
        "kinesis": KinesisBytes,
    }
)
