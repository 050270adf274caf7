"""Whisper's own decoder on a stream: it says a token once the sound of it is surely over.

After each chunk the decoder goes on from what it has said. A token is said if its attention peaks far enough before the
end of what was heard, else the next chunk is waited for (AlignAtt: Papi et al., 2023). The decoder knows recordings,
which end in silence, so silence is heard ahead after each chunk, on a state that is then forgotten; without it the
decoder repeats itself. A row that has been silent for some chunks rests: nothing is heard ahead or decoded for it. What
it says is in tokens of the LLM, as it is written, with its signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperDecoder

from freeze_omni.encoder.search import Said
from freeze_omni.frontend.pretrained import PretrainedConfig
from freeze_omni.frontend.speech_model import heads, self_attention
from freeze_omni.frontend.vad import SILENT
from freeze_omni.shapes import pad_rows
from freeze_omni.streaming import State

LEAST_LEVEL = 1e-3
"""What counts as silence (`SILENT`) in a stream that has been silent so far: soft speech has ten times as much."""
AROUND = 1
"""Chunks before and after that of a token's peak which count for its level."""
BEGINS, GOES_ON, ENDS = 0, 1, 2
"""Kinds of tokens: what begins a word, or is a sign in a sentence; a piece that goes on with a word; the sign that ends
a sentence."""
OF_TOKENS = ("tokens", "peaks", "count", "begun")
"""What a state knows of the tokens that were said."""


@dataclass(frozen=True)
class TranscriberConfig:
    """Keys under `transcriber:`, most of them as published with the model.

    model: Whisper's configuration in transformers' terms. heads: (layer, head) whose attention tells where a token was
    said. start: tokens before a text; end: the one after it; banned: those that are never said, as all after `end`;
    banned_first: not as the first. pieces: the most tokens of the LLM for one of them.
    hold_frames: of the model (20 ms), how far a token's peak is before the end of what was heard. rewind_frames: a peak
    that is farther before that of the token before belongs to what was said already; again_frames: and so does the same
    token, if it peaks as near as that to where it was said. silence_chunks: heard ahead. quiet_chunks: of silence after
    which the sign that ends a sentence is said; rest_chunks: after which nothing is. sentence_frames: how far after the
    last word the next sentence begins.
    memory_chunks: sound that the decoder sees. most: tokens that it goes on from; per_chunk: most that it says at once.
    """

    model: dict[str, Any] = field(default_factory=dict)
    heads: tuple[tuple[int, int], ...] = ()
    start: tuple[int, ...] = ()
    end: int = 0
    banned: tuple[int, ...] = ()
    banned_first: tuple[int, ...] = ()
    pieces: int = 1
    hold_frames: int = 14
    rewind_frames: int = 20
    again_frames: int = 10
    silence_chunks: int = 3
    quiet_chunks: int = 2
    rest_chunks: int = 5
    sentence_frames: int = 14
    memory_chunks: int = 60
    most: int = 48
    per_chunk: int = 8

    def __post_init__(self) -> None:
        if min(self.hold_frames, self.rewind_frames, self.silence_chunks, self.sentence_frames) < 0:
            raise ValueError(
                "transcriber: hold_frames, rewind_frames, silence_chunks and sentence_frames must be 0 or more"
            )
        if self.again_frames < -1:
            raise ValueError("transcriber: again_frames must be 0 or more, or -1 for a token that may be said again")
        if min(self.memory_chunks, self.per_chunk, self.pieces) < 1 or self.most < self.per_chunk:
            raise ValueError("transcriber: memory_chunks, per_chunk and pieces are 1 or more, most at least per_chunk")
        if not 1 <= self.quiet_chunks <= self.rest_chunks <= self.memory_chunks:
            raise ValueError(
                "transcriber: quiet_chunks are 1 or more, at most rest_chunks, and these at most memory_chunks"
            )


class _Sight(NamedTuple):
    """What the decoder sees of the sound, in two pieces: what was heard, M frames, and the silence ahead. keys, values
    (B, heads, frames, head size) of each layer; there (B, M + A): which frames are real."""

    keys: tuple[Sequence[Tensor], Sequence[Tensor]]
    values: tuple[Sequence[Tensor], Sequence[Tensor]]
    there: Tensor


class _Layer(NamedTuple):
    """What a layer makes. x (B, n, size); tokens: keys and values of all of them; seen (B, heads, M): what the last
    one's attention is over the frames."""

    x: Tensor
    tokens: State
    seen: Tensor


class Transcriber(nn.Module):
    """Frozen. spelled (2, V, pieces): tokens of the LLM for each of the decoder's, in running text and as the first of
    a turn, -1 after the last; a piece of a character has none. kinds (V,): BEGINS, GOES_ON or ENDS. chunk_frames: of
    the model, in a streaming step; stack: of them in one encoder frame; delay_chunks: how much later than its sound a
    chunk's frames come."""

    spelled: Tensor
    kinds: Tensor
    never: Tensor

    def __init__(self, config: TranscriberConfig, chunk_frames: int, stack: int = 1, delay_chunks: int = 0) -> None:
        super().__init__()
        self.config, self.chunk_frames, self.stack, self.delay_chunks = config, chunk_frames, stack, delay_chunks
        self.net = WhisperDecoder(WhisperConfig(**config.model))
        size = (2, self.net.embed_tokens.num_embeddings, config.pieces)
        self.register_buffer("spelled", torch.full(size, -1, dtype=torch.int32))
        self.register_buffer("kinds", torch.full((size[1],), BEGINS, dtype=torch.int8))
        never = torch.zeros(2, size[1], dtype=torch.bool)  # inside a text, and as its first token
        never[:, config.end + 1 :] = never[:, list(config.banned)] = True
        never[1, list(config.banned_first)] = True
        self.register_buffer("never", never, persistent=False)
        self.requires_grad_(False).eval()

    @property
    def memory_frames(self) -> int:
        return self.config.memory_chunks * self.chunk_frames

    @property
    def end_chunks(self) -> int:
        """Chunks of silence after which nothing waits to be said."""
        return max(-(-self.config.hold_frames // self.chunk_frames) + 1, self.config.quiet_chunks)

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> State:
        """Nothing heard: of each layer keys and values (B, heads, M, head size) of the last M frames, of which `heard`
        (B,) are real; levels (B, memory_chunks), loudest (B,), coming (B, delay_chunks): of sound whose frames come
        later; tokens (B, most) that were said, count (B,), and where each of them peaks among the M frames; begun (B,):
        whether anything was said."""
        net, device = self.net.config, device or self.spelled.device
        heads = net.decoder_attention_heads
        none = torch.zeros(batch_size, heads, self.memory_frames, net.d_model // heads, device=device)
        whole = {"dtype": torch.long, "device": device}
        return {
            **{name: none.clone() for name in (*self._names("keys"), *self._names("values"))},
            "heard": torch.zeros(batch_size, **whole),
            "levels": torch.zeros(batch_size, self.config.memory_chunks, device=device),
            "loudest": torch.zeros(batch_size, device=device),
            "coming": torch.zeros(batch_size, self.delay_chunks, device=device),
            "tokens": torch.zeros(batch_size, self.config.most, **whole),
            "peaks": torch.zeros(batch_size, self.config.most, **whole),
            "count": torch.zeros(batch_size, **whole),
            "begun": torch.zeros(batch_size, dtype=torch.bool, device=device),
        }

    @torch.no_grad()
    def step(self, frames: Tensor, ahead: Tensor, levels: Tensor, state: State) -> tuple[Said, State]:
        """Frames (B, k * chunk_frames, size), levels (B, k) of the k chunks of sound that were heard with them, and
        ahead (B, k, A, size): what would follow each chunk if the user fell silent, anything where a row rests. words
        of what is returned are tokens of the LLM."""
        rows: list[list[tuple[int, int]]] = [[] for _ in range(len(frames))]
        ends, awake = [], ~self.rests(levels, state)
        for chunk, part in enumerate(frames.split(self.chunk_frames, dim=1)):
            state = self._heard(part, levels[:, chunk], state)
            begun = state["begun"].tolist()
            state, said = self._say_in(awake[:, chunk], ahead[:, chunk], state)
            end = (chunk + 1) * (self.chunk_frames // self.stack)
            for row, number in enumerate(said.tolist()):
                rows[row] += self._spell(state, row, number, not begun[row], end)
            ends.append([len(row) for row in rows])
        found = [torch.tensor(row, dtype=torch.long, device=frames.device).reshape(-1, 2) for row in rows]
        words, lengths = pad_rows(found)
        ends = torch.tensor(ends, device=frames.device).reshape(-1, len(rows)).T
        return Said(words[..., 0], lengths, ends, words[..., 1]), state

    def rests(self, levels: Tensor, state: State) -> Tensor:
        """Whether each row says nothing (B, k) after k chunks of these levels (B, k): there is no sound in the last
        `rest_chunks` of which the decoder has frames, and none in what was heard after them."""
        heard = torch.cat([state["levels"], state["coming"], levels], dim=1)
        first, rest = state["levels"].shape[1], self.config.rest_chunks  # the chunk whose frames come in the first step
        loudest = torch.cat([state["loudest"][:, None], heard[:, first : first + levels.shape[1]]], dim=1)
        recent = heard[:, first + 1 - rest :].unfold(1, rest + self.delay_chunks, 1)
        return recent.amax(2) <= _silent(loudest.cummax(1).values[:, 1:])

    def _say_in(self, rows: Tensor, ahead: Tensor, state: State) -> tuple[State, Tensor]:
        """What `_say` does, of these rows (B,) alone."""
        if bool(rows.all()):
            return self._say(self._sight(ahead, state), state)
        nothing = torch.zeros_like(state["count"])
        if not bool(rows.any()):
            return state, nothing
        some = {name: value[rows] for name, value in state.items()}
        after, said = self._say(self._sight(ahead[rows], some), some)
        changed = {name: state[name].index_put((rows,), after[name]) for name in OF_TOKENS}
        return state | changed, nothing.index_put((rows,), said)

    def _spell(self, state: State, row: int, number: int, first: bool, end: int) -> list[tuple[int, int]]:
        """The LLM's tokens for the last `number` of a row's tokens, each with the encoder frame after it."""
        said, count = [], int(state["count"][row])
        for at in range(count - number, count):
            until = end - (self.memory_frames - 1 - int(state["peaks"][row, at])) // self.stack
            opens = first and at == count - number
            ids = self.spelled[int(opens), int(state["tokens"][row, at])].tolist()
            said += [(one, until) for one in ids if one >= 0]
        return said

    def _heard(self, frames: Tensor, level: Tensor, state: State) -> State:
        """The state after the frames of one chunk (B, chunk_frames, size); what leaves the memory is forgotten."""
        keys, values = self._keys_and_values(frames)
        coming = torch.cat([state["coming"], level[:, None]], dim=1)
        peaks, count, most = state["peaks"] - self.chunk_frames, state["count"], self.config.most
        place = torch.arange(most, device=peaks.device)
        gone = ((peaks < 0) & (place < count[:, None])).long().cumprod(1).sum(1)
        gone = torch.maximum(gone, count + self.config.per_chunk - most)
        moved = (place + gone[:, None]).clamp_max(most - 1)
        return state | {
            **self._remembered("keys", keys, state),
            **self._remembered("values", values, state),
            "heard": (state["heard"] + self.chunk_frames).clamp_max(self.memory_frames),
            "levels": torch.cat([state["levels"][:, 1:], coming[:, :1]], dim=1),
            "loudest": torch.maximum(state["loudest"], coming[:, 0]),
            "coming": coming[:, 1:],
            "tokens": state["tokens"].gather(1, moved),
            "peaks": peaks.gather(1, moved),
            "count": count - gone,
        }

    def _remembered(self, name: str, new: Sequence[Tensor], state: State) -> State:
        """The last M of what a state remembers and of new frames: a tensor for each layer, which is read as it lies."""
        old = [state[one][:, :, self.chunk_frames :] for one in self._names(name)]
        joined = [torch.cat(pair, dim=2) for pair in zip(old, new, strict=True)]
        return dict(zip(self._names(name), joined, strict=True))

    def _names(self, name: str) -> list[str]:
        return [f"{name}_{number}" for number in range(self.net.config.decoder_layers)]

    def _keys_and_values(self, frames: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What each of the decoder's layers attends to of frames (B, T, size): (B, heads, T, head size)."""
        layers = [layer.encoder_attn for layer in self.net.layers]
        keys = [heads(one.k_proj(frames), one.num_heads) for one in layers]
        values = [heads(one.v_proj(frames), one.num_heads) for one in layers]
        return keys, values

    def _sight(self, ahead: Tensor, state: State) -> _Sight:
        keys, values = self._keys_and_values(ahead)
        back = self.memory_frames - torch.arange(self.memory_frames, device=ahead.device)
        there = nn.functional.pad(back <= state["heard"][:, None], (0, ahead.shape[1]), value=True)
        heard_keys, heard_values = ([state[one] for one in self._names(name)] for name in ("keys", "values"))
        return _Sight((heard_keys, keys), (heard_values, values), there)

    def _say(self, sight: _Sight, state: State) -> tuple[State, Tensor]:
        """The state after all that is certain now is said, and how many tokens of each row (B,) that is."""
        start = torch.tensor(self.config.start, device=state["count"].device)
        ids, real = _aligned_right(start, state["tokens"], state["count"])
        place = (real.cumsum(1) - 1).clamp_min(0)
        past = self._no_tokens(len(ids))
        said, active = torch.zeros_like(state["count"]), torch.ones_like(state["begun"])
        for _ in range(self.config.per_chunk):
            hidden, past, attention = self._decode(ids, place, real, past, sight)
            token, peak = self._likeliest(hidden, active, state), attention.argmax(1)
            active = active & self._certain(token, peak, state)
            if not bool(active.any()):
                break
            state = _with_token(state, token, self._place(token, peak, state), active)
            said = said + active
            ids, place = token[:, None], place[:, -1:] + 1
            real = nn.functional.pad(real, (0, 1), value=True)
        return state, said

    def _no_tokens(self, batch_size: int) -> list[State]:
        """Of each layer the keys and values of no tokens."""
        number, size = self.net.config.decoder_attention_heads, self.net.config.d_model
        none = self.net.embed_tokens.weight.new_zeros(batch_size, number, 0, size // number)
        return [{"keys": none, "values": none}] * len(self.net.layers)

    def _decode(
        self, ids: Tensor, place: Tensor, real: Tensor, past: Sequence[State], sight: _Sight
    ) -> tuple[Tensor, list[State], Tensor]:
        """The new tokens ids (B, n) at `place` after `past`; real (B, P + n): which of all are. The state (B, size)
        that the next one is chosen from, keys and values of all tokens, and where (B, M) the last one attends."""
        net, new = self.net, ids.shape[1]
        x = net.embed_tokens(ids) + net.embed_positions.weight[place]
        causal = torch.ones(new, real.shape[1], dtype=torch.bool, device=ids.device).tril(real.shape[1] - new)
        itself = torch.eye(new, real.shape[1], dtype=torch.bool, device=ids.device).roll(real.shape[1] - new, 1)
        mask = (causal & real[:, None] | itself)[:, None]  # padding sees itself: softmax of nothing is NaN
        made: list[_Layer] = []
        for number, layer in enumerate(net.layers):
            made.append(_layer(layer, x, past[number], mask, sight, number))
            x = made[-1].x
        hidden = net.layer_norm(x[:, -1])
        chosen = [made[layer].seen[:, head] for layer, head in self.config.heads]
        return hidden, [one.tokens for one in made], torch.stack(chosen).mean(0)

    def _likeliest(self, hidden: Tensor, rows: Tensor, state: State) -> Tensor:
        """The likeliest token of these rows (B,), of others the end."""
        logits = hidden[rows] @ self.net.embed_tokens.weight.T
        found = logits.masked_fill(self.never[(~state["begun"][rows]).long()], -torch.inf).argmax(1)
        return torch.full_like(state["count"], self.config.end).masked_scatter(rows, found)

    def _certain(self, token: Tensor, peak: Tensor, state: State) -> Tensor:
        """Whether each row's likeliest token (B,) is said now."""
        config, count = self.config, state["count"]
        past = peak < self.memory_frames - config.hold_frames
        onward = (count == 0) | (peak >= _last(state["peaks"], state) - config.rewind_frames)
        heard = past & onward & self._is_loud(peak, AROUND, state) & ~self._is_said(token, peak, state)
        believed = heard & ~self._begins_again(token, peak, state) | self._closes(token, state)
        return (token != config.end) & believed & (count < config.most)

    def _is_said(self, token: Tensor, peak: Tensor, state: State) -> Tensor:
        """Whether the same token was said of the same sound."""
        there = torch.arange(self.config.most, device=token.device) < state["count"][:, None]
        near = (state["peaks"] - peak[:, None]).abs() <= self.config.again_frames
        return (there & near & (state["tokens"] == token[:, None])).any(1)

    def _begins_again(self, token: Tensor, peak: Tensor, state: State) -> Tensor:
        """Whether a token goes back to the sentence that has ended: as long as no sound follows, that is what the
        decoder does after the sign at its end."""
        soon = peak < _last(state["peaks"], state) + self.config.sentence_frames
        opens = self._has_ended(state) & (self.kinds[token] != GOES_ON)
        return opens & (soon | ~self._is_loud(peak, 0, state))

    def _closes(self, token: Tensor, state: State) -> Tensor:
        """Whether a token ends a sentence, and nothing is heard any more. A sign has no sound of its own, and its
        attention peaks anywhere."""
        quiet = state["levels"][:, -self.config.quiet_chunks :].amax(1) <= _silent(state["loudest"])
        return (self.kinds[token] == ENDS) & quiet & (state["count"] > 0) & ~self._has_ended(state)

    def _place(self, token: Tensor, peak: Tensor, state: State) -> Tensor:
        """Where a token was said: what ends a sentence, where its last word was."""
        sign = (self.kinds[token] == ENDS) & (state["count"] > 0)
        return torch.where(sign, _last(state["peaks"], state), peak)

    def _has_ended(self, state: State) -> Tensor:
        return (state["count"] > 0) & (self.kinds[_last(state["tokens"], state)] == ENDS)

    def _is_loud(self, peak: Tensor, around: int, state: State) -> Tensor:
        """Whether there is sound in a peak's chunk, or in `around` chunks before and after it."""
        chunk = (peak // self.chunk_frames).clamp_max(self.config.memory_chunks - 1)
        levels = nn.functional.max_pool1d(state["levels"][:, None], 2 * around + 1, 1, around)[:, 0]
        return levels.gather(1, chunk[:, None])[:, 0] > _silent(state["loudest"])


def _silent(loudest: Tensor) -> Tensor:
    """The level up to which a chunk is silence, after the loudest so far."""
    return torch.clamp_min(SILENT * loudest, LEAST_LEVEL)


def _last(of: Tensor, state: State) -> Tensor:
    """The entry (B,) of the last token that was said, in a table (B, most) of tokens or peaks."""
    return of.gather(1, (state["count"] - 1).clamp_min(0)[:, None])[:, 0]


def _with_token(state: State, token: Tensor, peak: Tensor, rows: Tensor) -> State:
    """With one token more (B,) in these rows (B,)."""
    here = rows[:, None] & (torch.arange(state["tokens"].shape[1], device=token.device) == state["count"][:, None])
    return state | {
        "tokens": torch.where(here, token[:, None], state["tokens"]),
        "peaks": torch.where(here, peak[:, None], state["peaks"]),
        "count": state["count"] + rows,
        "begun": state["begun"] | rows,
    }


def _aligned_right(start: Tensor, tokens: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """start and the first `count` (B,) of tokens (B, N) of each row, so that all rows end together, and which of these
    (B, n) are real."""
    longest = len(start) + int(count.max())
    every = torch.cat([start.expand(len(tokens), -1), tokens], dim=1)
    place = torch.arange(longest, device=tokens.device) - (longest - len(start) - count)[:, None]
    return every.gather(1, place.clamp_min(0)), place >= 0


def _layer(layer: nn.Module, x: Tensor, past: State, mask: Tensor, sight: _Sight, number: int) -> _Layer:
    """One of transformers' layers on x (B, n, size), after the keys and values of the tokens before."""
    read, own = self_attention(layer.self_attn, layer.self_attn_layer_norm(x), past, mask)
    x = x + read
    attention, normed = layer.encoder_attn, layer.encoder_attn_layer_norm(x)
    query = heads(attention.q_proj(normed), attention.num_heads)
    scores = torch.cat([query @ keys[number].transpose(2, 3) for keys in sight.keys], dim=3) / query.shape[3] ** 0.5
    weights = scores.masked_fill(~sight.there[:, None, None], -torch.inf).softmax(-1)
    pieces = weights.split([keys[number].shape[2] for keys in sight.keys], dim=3)
    seen = sum(some @ values[number] for some, values in zip(pieces, sight.values, strict=True))
    x = x + attention.out_proj(seen.transpose(1, 2).flatten(2))
    x = x + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(x))))
    return _Layer(x, {name: torch.cat([past[name], own[name]], dim=2) for name in own}, weights[:, :, -1])


def build_transcriber(config: TranscriberConfig, frontend: PretrainedConfig) -> Transcriber:
    """With fresh weights. Raises ValueError for a frontend that its decoder does not know."""
    if not frontend.cached or frontend.layers:
        raise ValueError("transcriber: its frontend is a whole Whisper with `context: cached`, without `layers`")
    theirs, ours = frontend.model.get("d_model"), config.model.get("d_model")
    if theirs != ours:
        raise ValueError(f"transcriber: a decoder for frames of {ours}, and the frontend's have {theirs}")
    return Transcriber(config, frontend.chunk_frames * frontend.stack, frontend.stack, frontend.lookahead_chunks)


def up_to(said: Said, chunks: Tensor) -> Said:
    """What was said in the first `chunks` (B,) of each row."""
    if not said.ends.shape[1]:
        return said
    lengths = said.ends.gather(1, (chunks - 1).clamp_min(0)[:, None])[:, 0] * (chunks > 0)
    real = torch.arange(said.words.shape[1], device=lengths.device) < lengths[:, None]
    ends = torch.minimum(said.ends, lengths[:, None])
    return Said(said.words * real, lengths, ends, said.until * real)
