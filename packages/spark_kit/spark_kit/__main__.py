"""``python -m spark_kit --archive-dir DIR [--jars-dir DIR]`` makes the class archive for these jars."""

import argparse
import sys
from pathlib import Path

from spark_kit.archive import make_archive
from spark_kit.jvm import JvmError


def main() -> None:
    """Make the archive and name its file; on failure say why and exit with 1."""
    parser = argparse.ArgumentParser(prog="python -m spark_kit", description=__doc__)
    parser.add_argument("--archive-dir", type=Path, required=True, help="where archives are kept")
    parser.add_argument("--jars-dir", type=Path, help="jars that Spark lacks (SPARK_JARS_DIR)")
    options = parser.parse_args()
    try:
        path = make_archive(options.archive_dir, options.jars_dir)
    except JvmError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
