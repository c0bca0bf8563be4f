"""A bounded part of the random histories; ``make histories COUNT=n`` runs as many as one likes."""

from pathlib import Path

import kinesis_histories
import pytest


@pytest.mark.parametrize("seed", range(60))
def test_each_record_is_read_once_or_its_loss_is_said(seed: int, tmp_path: Path) -> None:
    kinesis_histories.run(seed, tmp_path)
