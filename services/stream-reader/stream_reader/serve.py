"""``python -m stream_reader.serve``: the popularity API over stream tables that somebody else writes (``follower``).

Exit codes: 0 stopped in order; 2 bad settings or a port that is taken.
"""

import logging
import math
import sys
import threading
from functools import partial

from prometheus_client import REGISTRY
from pydantic import Field
from pydantic_settings import SettingsConfigDict
from service_kit.logs import configure_logging
from service_kit.ops import Ops
from service_kit.retries import RetryPolicy
from service_kit.shutdown import Shutdown
from service_kit.web import bound_server

from stream_reader.api import create_app
from stream_reader.lake.delta import DeltaTables
from stream_reader.popularity.follower import Follower
from stream_reader.popularity.index import Index
from stream_reader.popularity.posts import Posts
from stream_reader.settings import LakeSettings

logger = logging.getLogger(__name__)

SERVICE = "popularity"
EXIT_OK, EXIT_BAD_INPUT = 0, 2
_STOP_S = 5.0


class Settings(LakeSettings):
    """See the table in ``README.md``."""

    model_config = SettingsConfigDict(env_prefix="POPULARITY_")

    host: str = "127.0.0.1"
    port: int = Field(8096, ge=0, le=65_535)
    every_s: float = Field(5.0, gt=0)
    half_life_s: float = Field(3_600.0, gt=0)


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = Settings.load()
    configure_logging(SERVICE, settings.log_level)
    shutdown = Shutdown()
    shutdown.install()
    logger.info("starting", extra={"settings": settings.described()})
    index, posts = Index(settings.half_life_s), Posts(settings.state_dir / "posts.sqlite")
    # What an earlier process has read is in no memory: all is read again.
    posts.clear()
    retries = RetryPolicy(math.inf, settings.every_s, 30.0)  # /readyz shows what is retried
    tables = partial(DeltaTables, settings.lake_uri, settings.storage_options)
    follower = Follower(tables, settings.names, posts, index, every_s=settings.every_s, retries=retries)
    follower.measured(REGISTRY)
    app = create_app(index, retries.clock)
    ops = Ops(SERVICE, {"tables": follower.check}, REGISTRY)
    try:
        server = bound_server(settings.host, settings.port, ops.in_front_of(app.wsgi_app))
    except OSError as error:
        sys.stderr.write(f"POPULARITY_PORT: {settings.host}:{settings.port} cannot be used: {error.strerror}\n")
        return EXIT_BAD_INPUT
    stop = threading.Event()
    threads = [
        threading.Thread(target=server.serve_forever, name="http", daemon=True),
        threading.Thread(target=follower.run, args=(stop,), name="follower", daemon=True),
    ]
    for thread in threads:
        thread.start()
    while not shutdown.wait(3600.0):
        pass
    stop.set()
    server.shutdown()
    for thread in threads:
        thread.join(_STOP_S)
    logger.info("stopped")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
