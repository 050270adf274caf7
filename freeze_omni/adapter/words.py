"""Recognised words for the LLM: their tokens' embeddings, as it reads a text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from freeze_omni.adapter.output import Adapted, Adapter, AdapterOutput, Device, chunk_means
from freeze_omni.encoder.search import Said
from freeze_omni.shapes import pad_rows, valid_mask
from freeze_omni.streaming import State


class WordTokens(NamedTuple):
    """The LLM's tokens of each word of the lexicon, ids (2, W, M): inside a sentence and as its first; -1 after a
    word's. embed: ids (N,) to (N, llm_size)."""

    ids: Tensor
    embed: Callable[[Tensor], Tensor]


def no_words() -> WordTokens:
    """For an adapter of which only the sizes are asked."""
    return WordTokens(torch.full((2, 1, 1), -1), nn.Identity())


class Spelled(NamedTuple):
    """The tokens of words that were said. ids (B, N, M): -1 after a word's and a row's last; first (B, N): the word
    that begins the turn; ends (B, C) tokens up to the end of each chunk; chunk (B, N) that says the word; begun (B,)
    whether a word has been said."""

    ids: Tensor
    first: Tensor
    ends: Tensor
    chunk: Tensor
    begun: Tensor


def spell(table: Tensor, said: Said, begun: Tensor, chunks: int) -> Spelled:
    """What was said, in tokens of `WordTokens.ids`; words after the last of `chunks` chunks belong to it."""
    place = torch.arange(said.words.shape[1], device=table.device)
    first = (place == 0) & ~begun[:, None]
    ids = table[first.long(), said.words].masked_fill(~valid_mask(said.lengths, len(place))[..., None], -1)
    sent = torch.nn.functional.pad((ids >= 0).sum(2).cumsum(1), (1, 0))
    last = said.ends[:, -1:] if said.ends.shape[1] else said.ends.new_zeros(len(ids), 1)
    ends = torch.cat([said.ends[:, : chunks - 1], last.expand(-1, min(chunks, 1))], dim=1)
    chunk = (said.ends[:, :, None] <= place).sum(1)
    return Spelled(ids, first, sent.gather(1, ends), chunk.clamp_max(chunks - 1), begun | (said.lengths > 0))


@dataclass(frozen=True)
class WordAdapterConfig:
    """chunk_frames: encoder frames of a streaming step. transcribed: the words are those of a transcriber, tokens of
    the LLM, and not of a lexicon."""

    chunk_frames: int = 4
    transcribed: bool = False


class WordAdapter(Adapter):
    """Sends the tokens of each word when it is said, plus a projection of the chunk's frames that starts at zero.

    The embeddings are rows of the frozen LLM: never copied, trained or saved. The first word has a capital.
    """

    punctuates = False

    def __init__(self, config: WordAdapterConfig, input_size: int, llm_size: int, words: WordTokens | None = None):
        """Raises ValueError without words."""
        super().__init__()
        if words is None:
            raise ValueError("the adapter `words` needs CTC units of kind `word` (--unit_kind word), or a transcriber")
        self.config, self._embed = config, words.embed
        self.register_buffer("ids", words.ids, persistent=False)
        self.project = nn.Linear(input_size, llm_size)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def initial_state(self, batch_size: int, device: Device = None, dtype: torch.dtype | None = None) -> State:
        """begun (B,): whether a word has been said; what is heard is the word search's to know."""
        return {"begun": torch.zeros(batch_size, dtype=torch.bool, device=device or self.ids.device)}

    def adapt(
        self, enc: Tensor, lengths: Tensor, ctc_logits: Tensor | None, state: State, said: Said | None = None
    ) -> Adapted:
        if said is None:
            raise ValueError("the adapter `words` needs what the word search has found: pass said")
        summary = chunk_means(enc, lengths, self.config.chunk_frames)
        spelled = spell(self.ids, said, state["begun"], summary.shape[1])
        real = spelled.ids >= 0
        frames = self.project(summary)
        frames = frames.gather(1, spelled.chunk[..., None].expand(-1, -1, frames.shape[2]))
        rows = [
            self._embed(ids[sent]).to(learned.dtype) + learned.repeat_interleave(sent.sum(1), dim=0)
            for ids, sent, learned in zip(spelled.ids, real, frames, strict=True)
        ]
        embeds, counts = pad_rows(rows)
        return AdapterOutput(embeds, counts, spelled.ends, summary), {"begun": spelled.begun}
