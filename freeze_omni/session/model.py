"""What a session needs of a model. `freeze_omni.system.FreezeOmni` has it all."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.rates import Rates


class SpokenModel(Protocol):
    """The paper's parts under the names of their checkpoints, and what ties them together.

    prompt.weight (N, E) are the prompt vectors; voice is the codec's global code, one row; units turns CTC units
    into text; system_prompt is what the model was trained with; config has the generation, segments and sampling
    that its answers are made with by default.
    """

    config: Any
    rates: Rates
    fbank: nn.Module
    encoder: Any
    ctc: Any
    adapter: Any
    llm: FrozenLLM
    prompt: nn.Embedding
    state_head: nn.Module
    speech_decoder: Any
    codec: Any
    voice: Tensor
    units: Any
    system_prompt: str
    transcribes: bool

    def spoken_ids(self, text: str) -> list[int]:
        """LLM ids by which the speech decoder speaks a text: normalised, in its own text units."""
        ...
