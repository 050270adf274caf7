"""For all tests: one thread, the same random numbers, and no download of a model by mistake."""

import os
import sys

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
