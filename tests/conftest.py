"""For all tests: one thread, the same random numbers, and no download of a model by mistake."""

import os
import sys

for name, value in {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(name, value)

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def fixed_seed():
    """Seed numpy, and torch where a test has imported it, before every test."""
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
