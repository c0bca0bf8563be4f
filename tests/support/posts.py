"""Raw files for tests: the real sample, where it lies beside the checkout, or the generator's rows."""

from pathlib import Path

from emitter.sources.generator import GeneratorSource
from emitter.sources.source import Taken
from pipeline_contracts.names import KINDS

SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "pinterest-sample"


def write_generated(folder: Path, events: int, seed: int) -> Path:
    """Write ``events`` generated rows as the three files that the emitter takes, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {kind: (folder / f"{kind}.jsonl").open("wb") for kind in KINDS}
    source = GeneratorSource(seed)
    for number, row in enumerate(source.rows(Taken())):
        if number == events:
            break
        files[row.kind].write(row.value + b"\n")
    for file in files.values():
        file.close()
    source.close()
    return folder
