"""For all tests: one thread, the same random numbers, and no download of a model by mistake."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Set here, before any test module imports torch.
for name, value in {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(name, value)


@pytest.fixture(autouse=True)
def fixed_seed():
    """Seed numpy and torch, where a test has imported them, before every test."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there are such, for tests that write thousands of files."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)
