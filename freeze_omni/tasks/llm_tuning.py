"""What may be learned beside the frozen LLM, as a part of stages 1.2, 1.3 and 2.3 (see `llm/tuned.py`)."""

from __future__ import annotations

from typing import Any

from torch import nn

from freeze_omni.config import ConfigError
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import PART, build_tuning, tuned
from freeze_omni.tasks.resources import Resources


def tuning_part(config: Any, sizes: Resources) -> dict[str, nn.Module]:
    """{llm_tuning: module} where the stage's configuration has that key, otherwise nothing.

    Raises ConfigError where this LLM cannot be tuned so.
    """
    if config.llm_tuning is None:
        return {}
    try:
        return {PART: build_tuning(config.llm_tuning, sizes.llm_plan)}
    except ValueError as error:
        raise ConfigError(f"llm_tuning: {error}") from None


def stage_llm(parts: dict[str, nn.Module], resources: Resources) -> FrozenLLM:
    """The LLM that a stage's passes go through."""
    return tuned(resources.llm, parts.get(PART))
