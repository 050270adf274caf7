"""The modules of the mini recipe's local/ folder can be imported."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "egs/mini/s2s1/local"))
