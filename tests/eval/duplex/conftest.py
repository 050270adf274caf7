"""One set of scenes for all tests here: one of every kind, with an echo that can be heard."""

from __future__ import annotations

from pathlib import Path

import pytest

from freeze_omni.bin import duplex_scenes
from tests.eval.duplex.rig import IDS, sentences


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("duplex")
    (root / "ranges.yaml").write_text("echo_db: [-12, -12]\ntail_s: 4.5\n")
    words = ["--data", str(sentences(root / "data", *IDS)), "--config", str(root / "ranges.yaml"), "--seed", "3"]
    duplex_scenes.main([*words, "--count", "1", "--output", str(root / "scenes")])
    return root / "scenes"
