"""Continuous speech at token rate: the frames of each word that is found, pooled by attention, a position for a token.

What the LLM reads is made of the encoder's frames alone; the word search says where a word lies and how many tokens it
has, and no embedding is looked up. It first learns to meet the embeddings of the tokens, as Wav2Prompt does (Deng et
al. 2024), and then through the frozen LLM (stage 1.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freeze_omni.adapter.output import Adapted, Adapter, AdapterOutput, Device, chunk_ends, chunk_means
from freeze_omni.adapter.words import Spelled, WordTokens, spell
from freeze_omni.encoder.search import Said
from freeze_omni.shapes import silence_padding, valid_mask
from freeze_omni.streaming import State


@dataclass(frozen=True)
class PoolAdapterConfig:
    """size, heads, layers, dropout: of the Transformer over a word's frames; a further layer pools them. reach: encoder
    frames before the end of the chunk that says a word; what is earlier is not read. margin: encoder frames read on
    both sides of a word. tokens: of a word, that have a query of their own; the last query serves all later ones.
    chunk_frames: encoder frames of a streaming step.
    """

    size: int = 256
    heads: int = 4
    layers: int = 1
    dropout: float = 0.1
    reach: int = 24
    margin: int = 2
    tokens: int = 8
    chunk_frames: int = 4

    def __post_init__(self) -> None:
        if self.size % self.heads:
            raise ValueError(f"pool: size {self.size} is not a multiple of heads {self.heads}")
        if self.reach < self.chunk_frames or self.margin < 0 or self.tokens < 1:
            raise ValueError("pool: reach is chunk_frames or more, margin 0 or more, tokens 1 or more")


class PoolAdapter(Adapter):
    """Sends a position for each token of a word when it is said: what a query of that token reads in its frames.

    A word's frames begin where the word before it is over, in this call or in the frames that the state keeps.
    """

    punctuates = False

    def __init__(self, config: PoolAdapterConfig, input_size: int, llm_size: int, words: WordTokens | None = None):
        """Of words only the number of tokens is used. Raises ValueError without them."""
        super().__init__()
        if words is None:
            raise ValueError("the adapter `pool` needs CTC units of kind `word` (--unit_kind word)")
        self.config = config
        self.register_buffer("ids", words.ids, persistent=False)
        size, heads, dropout = config.size, config.heads, config.dropout
        shape = {"dim_feedforward": 4 * size, "dropout": dropout, "activation": "gelu"}
        shape |= {"batch_first": True, "norm_first": True}
        self.frame = nn.Sequential(nn.LayerNorm(input_size), nn.Linear(input_size, size))
        self.from_start, self.to_end = nn.Embedding(config.reach, size), nn.Embedding(config.reach, size)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(size, heads, **shape) for _ in range(config.layers))
        self.token, self.count = nn.Embedding(config.tokens, size), nn.Embedding(config.tokens, size)
        self.first = nn.Embedding(2, size)  # whether the turn begins with the word: it has a capital then
        self.pool = nn.TransformerDecoderLayer(size, heads, **shape)
        self.norm, self.project = nn.LayerNorm(size), nn.Linear(size, llm_size)

    def initial_state(self, batch_size: int, device: Device = None, dtype: torch.dtype | None = None) -> State:
        """The last frames (B, reach, input_size), how many of them are heard (B,), frames since a word was over (B,),
        whether a word was said (B,)."""
        device, norm = device or self.ids.device, self.frame[0]
        dtype = dtype or norm.weight.dtype
        none = torch.zeros(batch_size, dtype=torch.long, device=device)
        frames = torch.zeros(batch_size, self.config.reach, norm.normalized_shape[0], device=device, dtype=dtype)
        return {"frames": frames, "heard": none, "since": none.clone(), "begun": none.bool()}

    def adapt(
        self, enc: Tensor, lengths: Tensor, ctc_logits: Tensor | None, state: State, said: Said | None = None
    ) -> Adapted:
        if said is None:
            raise ValueError("the adapter `pool` needs what the word search has found: pass said")
        reach = self.config.reach
        summary = chunk_means(enc, lengths, self.config.chunk_frames)
        spelled = spell(self.ids, said, state["begun"], summary.shape[1])
        frames = torch.cat([state["frames"], silence_padding(enc, lengths)], dim=1)
        embeds, counts = self._positions(frames, self._spans(lengths, said, spelled, state), spelled, said)
        kept = lengths[:, None] + torch.arange(reach, device=enc.device)
        after = {
            "frames": frames.gather(1, kept[..., None].expand(-1, -1, frames.shape[2])),
            "heard": (state["heard"] + lengths).clamp_max(reach),
            "since": _since(lengths, said, state["since"]).clamp(0, reach),
            "begun": spelled.begun,
        }
        return AdapterOutput(embeds, counts, spelled.ends, summary), after

    def _spans(self, lengths: Tensor, said: Said, spelled: Spelled, state: State) -> tuple[Tensor, Tensor]:
        """First frame and frame after the last of each word (B, N), from the start of the call, within its reach."""
        config, words = self.config, said.words.shape[1]
        ends = chunk_ends(lengths, max(int(lengths.max()), 1), config.chunk_frames)
        now = ends.gather(1, spelled.chunk.clamp_max(ends.shape[1] - 1))
        before = torch.cat([-state["since"][:, None], said.until], dim=1)[:, :words]
        first = torch.maximum(before - config.margin, torch.maximum(now - config.reach, -state["heard"][:, None]))
        first = torch.minimum(first, now - 1)
        last = torch.minimum(said.until + config.margin, now)
        return first, torch.maximum(last, first + 1)

    def _positions(
        self, frames: Tensor, spans: tuple[Tensor, Tensor], spelled: Spelled, said: Said
    ) -> tuple[Tensor, Tensor]:
        """Frames (B, reach + T, input_size), spans (B, N) to positions (B, P, llm_size) and their numbers (B,)."""
        real = valid_mask(said.lengths, said.words.shape[1])
        rows, at = real.nonzero(as_tuple=True)
        tokens = spelled.ids[rows, at] >= 0  # (W, M)
        counts = (spelled.ids >= 0).sum((1, 2))
        if not len(rows):
            return frames.new_zeros(len(frames), 0, self.project.out_features), counts
        first, last = (span[rows, at] for span in spans)
        read = self._read(frames, rows, first, last)
        sizes = tokens.sum(1)
        place = torch.arange(tokens.shape[1], device=frames.device).clamp_max(self.config.tokens - 1)
        query = self.token(place) + self.count((sizes - 1).clamp(0, self.config.tokens - 1))[:, None]
        query = query + self.first(spelled.first[rows, at].long())[:, None]
        unused = ~tokens & (place > 0)  # a first query always: attention over nothing is not a number
        pooled = self.pool(query, read[0], tgt_key_padding_mask=unused, memory_key_padding_mask=read[1])
        values = self.project(self.norm(pooled[tokens]))  # row after row, as words and tokens are
        valid = valid_mask(counts, int(counts.max()))
        embeds = values.new_zeros(*valid.shape, values.shape[-1])
        return embeds.masked_scatter(valid[..., None], values), counts

    def _read(self, frames: Tensor, rows: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """The frames of each word (W, L, size), and which are none (W, L)."""
        offset = torch.arange(int((last - first).max()), device=frames.device)
        index = (first[:, None] + offset).clamp(max=last[:, None] - 1)
        none = offset >= (last - first)[:, None]
        to_end = (last[:, None] - 1 - index).clamp_min(0)
        x = self.frame(frames[rows[:, None], index + self.config.reach]) + self.from_start(offset) + self.to_end(to_end)
        for block in self.blocks:
            x = block(x, src_key_padding_mask=none)
        return x, none


def _since(lengths: Tensor, said: Said, before: Tensor) -> Tensor:
    """Frames since a word was over, at the end of the call (B,)."""
    if not said.words.shape[1]:
        return before + lengths
    last = said.until.gather(1, (said.lengths - 1).clamp_min(0)[:, None])[:, 0]
    return torch.where(said.lengths > 0, lengths - last, before + lengths)
