import pytest
from flask import Flask
from ingest_proxy.app import create_app
from ingest_proxy.memory import MemoryCluster
from ingest_proxy.settings import ProxySettings
from prometheus_client import CollectorRegistry


@pytest.fixture
def settings() -> ProxySettings:
    return ProxySettings(max_body_bytes=20_000_000, max_records=1000)


@pytest.fixture
def cluster(settings: ProxySettings) -> MemoryCluster:
    return MemoryCluster(settings.names, settings.max_record_bytes)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def app(settings: ProxySettings, cluster: MemoryCluster, registry: CollectorRegistry) -> Flask:
    return create_app(settings, cluster, cluster, registry)
