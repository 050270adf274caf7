"""Toy LLMs, written once a test run."""

from __future__ import annotations

import pytest

from freeze_omni.llm.frozen import FrozenLLM
from tests.toy import toy_llm


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """kind -> folder of a toy LLM."""
    root = tmp_path_factory.mktemp("llms")
    return {kind: toy_llm(root / kind, kind) for kind in ("qwen2", "smollm", "llama", "gemma")}


@pytest.fixture(scope="session")
def llm(folders):
    return FrozenLLM.load(folders["qwen2"])
