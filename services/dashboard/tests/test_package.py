import sys
from subprocess import run


def test_importing_it_loads_no_heavy_library() -> None:
    heavy = "sys.exit(any(name in sys.modules for name in ('pyarrow', 'pandas', 'duckdb', 'pyspark')))"
    assert run([sys.executable, "-c", f"import sys, dashboard; {heavy}"], check=False).returncode == 0
