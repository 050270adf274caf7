"""Which adapter a model has: one key under `adapter:`, `conv` (the paper's), `ctc`, `words` or `pool` (ours)."""

from dataclasses import dataclass

from torch import Tensor

from freeze_omni.adapter.conv import ConvAdapter, ConvAdapterConfig
from freeze_omni.adapter.ctc import CtcAdapter, CtcAdapterConfig
from freeze_omni.adapter.output import Adapter
from freeze_omni.adapter.pool import PoolAdapter, PoolAdapterConfig
from freeze_omni.adapter.words import WordAdapter, WordAdapterConfig, WordTokens


@dataclass(frozen=True)
class AdapterChoice:
    """`adapter: {conv: {kernel: 5}}` or `adapter: {ctc: {}}`; an empty mapping takes that adapter's defaults."""

    conv: ConvAdapterConfig | None = None
    ctc: CtcAdapterConfig | None = None
    words: WordAdapterConfig | None = None
    pool: PoolAdapterConfig | None = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.conv, self.ctc, self.words, self.pool)) != 1:
            raise ValueError("choose one adapter: `conv: {}`, `ctc: {}`, `words: {}` or `pool: {}`")

    @property
    def needs_unit_embeds(self) -> bool:
        """Whether the adapter is built from the LLM's embeddings of the CTC units."""
        return self.ctc is not None and self.ctc.posterior

    @property
    def needs_words(self) -> bool:
        """Whether the adapter is built from the tokens of a lexicon's words."""
        return self.words is not None or self.pool is not None

    @property
    def transcribed(self) -> bool:
        """Whether its words are those of a transcriber."""
        return self.words is not None and self.words.transcribed

    @property
    def positions_per_chunk(self) -> int | None:
        """Positions that every chunk sends to the LLM; None if they follow the words."""
        return None if self.conv is None else self.conv.chunk_frames // self.conv.stride

    @property
    def silent(self) -> bool:
        """Whether silence sends no position."""
        return self.positions_per_chunk is None


def build_adapter(
    choice: AdapterChoice,
    input_size: int,
    llm_size: int,
    unit_embeds: Tensor | None = None,
    words: WordTokens | None = None,
) -> Adapter:
    """The adapter with fresh weights; unit_embeds (V, llm_size) if `needs_unit_embeds`, words if `needs_words`."""
    if choice.conv is not None:
        return ConvAdapter(choice.conv, input_size, llm_size)
    if choice.words is not None:
        return WordAdapter(choice.words, input_size, llm_size, words)
    if choice.pool is not None:
        return PoolAdapter(choice.pool, input_size, llm_size, words)
    return CtcAdapter(choice.ctc, input_size, llm_size, unit_embeds)
