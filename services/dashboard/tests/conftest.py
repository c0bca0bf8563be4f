import pytest
from dashboard_frame import FrameOfTests


@pytest.fixture
def frame() -> FrameOfTests:
    return FrameOfTests()
