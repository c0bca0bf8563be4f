"""``python -m emitter``."""

from emitter.cli import main

if __name__ == "__main__":
    main(prog_name="emitter")
