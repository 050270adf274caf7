"""What a session needs of a model. `freeze_omni.system.FreezeOmni` has it all."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from freeze_omni.listening import Listening
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.rates import Rates


class SpokenModel(Protocol):
    """The parts that a session works with.

    prompt.weight (N, E) are the prompt vectors; voice is the codec's global code, one row; units turns CTC units into
    text; system_prompt is what the model was trained with; config has `history` and the defaults of answers:
    generation, segments, sampling, fifo.
    """

    config: Any
    rates: Rates
    llm: FrozenLLM
    prompt: nn.Embedding
    state_head: nn.Module
    speech_decoder: Any
    codec: Any
    voice: Tensor
    units: Any

    @property
    def device(self) -> torch.device: ...

    @property
    def listening(self) -> Listening: ...

    @property
    def system_prompt(self) -> str: ...

    @property
    def transcribes(self) -> bool:
        """Whether the CTC head gives words."""
        ...

    def spoken_ids(self, text: str) -> list[int]:
        """LLM ids by which the speech decoder speaks a text: normalised, in its own text units."""
        ...
