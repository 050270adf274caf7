"""Whisper's encoder as a stream that computes each chunk once: keys and values of what it has heard are kept.

A chunk and its look-ahead go through the layers together and see the keys and values of `left_s` before them; only
those of the chunk itself are kept, the look-ahead is computed again as a part of later chunks (the layout of Emformer,
Shi et al., 2021). The same weights on whole windows (`PretrainedFrontend`) cost three times as much, for eight users
six times (docs/benchmarks/speed.json), and see a little more: there, what came before has also heard what came after
it. Stage 1.0 teaches the weights to do without.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from freeze_omni.autocast import autocast_dtype
from freeze_omni.frontend.pretrained import PretrainedConfig, PretrainedFrontend
from freeze_omni.frontend.speech_model import SHIFT, WINDOW, Whisper, self_attention
from freeze_omni.streaming import State

EDGE_SAMPLES = 2 * SHIFT + WINDOW // 2
"""Sound before a frame that its two convolutions and its spectra reach."""
LEAST_CEILING = 0.0
"""A stream that begins with silence takes at least this as its loudest value so far: that of soft speech."""
CHUNKS_AT_ONCE = 25
"""Chunks that go through the layers together: bounds the memory that a long recording takes."""


class _Tokens(NamedTuple):
    """What goes through the layers for k chunks: their frames, then each chunk's look-ahead. frame (N,): counted from
    the first chunk's first; visible (N, L + N): which kept and which new tokens each sees, if all of L are there."""

    frame: Tensor
    visible: Tensor


class CachedFrontend(PretrainedFrontend):
    """As `PretrainedFrontend`, for Whisper. Positions run on from a turn's beginning; where they end, the last `left_s`
    are computed once more at the first of them, so a stream may be of any length."""

    def __init__(self, config: PretrainedConfig):
        """Raises ValueError: another model than Whisper, no look-ahead, or a `left_s` that is no number of chunks."""
        super().__init__(config)
        if not isinstance(self.model, Whisper):
            raise ValueError("frontend: context: cached is for Whisper; other models take windows")
        if not config.lookahead_chunks:
            raise ValueError("frontend: context: cached needs lookahead_chunks of 1 or more: frames end in them")
        if self.left_samples % self.chunk_samples:
            raise ValueError(f"left_s {config.left_s} is no multiple of a chunk, {self.chunk_samples / 16000} s")
        self.left_chunks = self.left_samples // self.chunk_samples
        self.chunk_frames = self.chunk_samples // self.model.frame_samples
        self.after_frames = self.chunk_frames * config.lookahead_chunks - 1  # the last one's sound is not whole yet
        self.most_chunks = (self.model.config.max_source_positions - self.after_frames) // self.chunk_frames

    def forward(self, wav: Tensor, lengths: Tensor, chunks: int = 1) -> tuple[Tensor, Tensor]:
        """As `PretrainedFrontend`; each chunk is as in use, whatever `chunks` says."""
        return super().forward(wav, lengths)

    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype = torch.float
    ) -> State:
        """Silence before the stream: samples (B, edge, left and look-ahead); keys and values (B, layers, heads, L,
        head size) of the L frames before; place (B,), chunks since positions began; ceiling (B,) of the log mel."""
        device, net = device or self.device, self.model.config
        heads = net.encoder_attention_heads
        kept = (batch_size, len(self.model.net.layers), heads, self.left_chunks * self.chunk_frames)
        keys = torch.zeros(*kept, net.d_model // heads, device=device, dtype=dtype)
        size = EDGE_SAMPLES + self.left_samples + self.delay_samples
        return {
            "samples": torch.zeros(batch_size, size, device=device, dtype=dtype),
            "keys": keys,
            "values": keys.clone(),
            "place": torch.zeros(batch_size, dtype=torch.long, device=device),
            "ceiling": torch.full((batch_size,), LEAST_CEILING, device=device, dtype=dtype),
        }

    def step(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        """Samples (B, k * chunk_samples), or ValueError, to features (B, k * chunk_frames, output_size)."""
        if wav.shape[1] == 0 or wav.shape[1] % self.chunk_samples:
            raise ValueError(f"a step takes a multiple of {self.chunk_samples} samples, found {wav.shape[1]}")
        samples, chunks, done = torch.cat([state["samples"], wav], dim=1), wav.shape[1] // self.chunk_samples, 0
        pieces = []
        while done < chunks:
            state = self._begun_again(samples, done, state)
            k = min(chunks - done, CHUNKS_AT_ONCE, self.most_chunks - int(state["place"].max()))
            frames, state = self._encode(samples, done, k, state)
            pieces.append(frames)
            done += k
        feats = torch.cat(pieces, dim=1).to(wav.dtype).reshape(len(wav), -1, self.output_size)
        return feats, state | {"samples": samples[:, wav.shape[1] :]}

    def _all_at_once(self, wav: Tensor, chunks: int) -> Tensor:
        return self.step(wav, self.initial_state(len(wav), wav.device))[0]

    def _begun_again(self, samples: Tensor, done: int, state: State) -> State:
        """The state in which rows whose positions are used up have heard the last `left_s` alone."""
        ended = state["place"] == self.most_chunks
        if not bool(ended.any()):
            return state
        fresh = self.initial_state(int(ended.sum()), samples.device, samples.dtype)
        if self.left_chunks:
            _, fresh = self._encode(samples[ended], done - self.left_chunks, self.left_chunks, fresh)
        kept = ("keys", "values", "place", "ceiling")
        return state | {key: state[key].index_put((ended,), fresh[key].to(state[key].dtype)) for key in kept}

    def _encode(self, samples: Tensor, done: int, k: int, state: State) -> tuple[Tensor, State]:
        """k chunks, of which the first begins edge, left and `done` chunks after the beginning of samples, to their
        frames (B, k * model frames, size) and the state after them."""
        new, place = k * self.chunk_frames, state["place"]
        first = self.left_samples + done * self.chunk_samples
        size = EDGE_SAMPLES + (new + self.after_frames) * self.model.frame_samples + WINDOW // 2
        mel, ceiling = self.model.features.running(samples[:, first : first + size], state["ceiling"], 2 * new)
        tokens = self._tokens(k, samples.device)
        frames, made = self._through_layers(mel, place * self.chunk_frames, tokens, new, state)
        return frames, state | _kept(state, made, new) | {"place": place + k, "ceiling": ceiling}

    def ahead(self, chunks: int, state: State) -> Tensor:
        """What would follow if the user fell silent now: frames (B, chunks * model frames, size), which see each other
        and what came before. Nothing is kept of it."""
        new = chunks * self.chunk_frames
        if not new:
            return state["samples"].new_zeros(len(state["place"]), 0, self.model.config.d_model)
        silence = state["samples"].new_zeros(len(state["place"]), chunks * self.chunk_samples)
        samples = torch.cat([state["samples"], silence], dim=1)
        state = self._begun_again(samples, 0, state)
        size = EDGE_SAMPLES + new * self.model.frame_samples + WINDOW // 2
        mel, _ = self.model.features.running(samples[:, self.left_samples :][:, :size], state["ceiling"], 2 * new)
        number = torch.arange(new, device=mel.device)
        visible = torch.ones(new, self.left_chunks * self.chunk_frames + new, dtype=torch.bool, device=mel.device)
        last = self.model.config.max_source_positions - new  # where positions end, the last ones come twice
        place = (state["place"] * self.chunk_frames).clamp_max(last)
        return self._through_layers(mel, place, _Tokens(number, visible), new, state)[0]

    def _through_layers(
        self, mel: Tensor, place: Tensor, tokens: _Tokens, new: int, state: State
    ) -> tuple[Tensor, list[State]]:
        """The spectra of tokens, whose first frame has the position place (B,), to the first `new` frames (B, new,
        size), and of each layer the keys and values of all."""
        layers, length = self.model.net.layers, state["keys"].shape[3]
        used = min(self.left_chunks, int(state["place"].max())) * self.chunk_frames  # of what is kept: none at first
        mask, made = self._mask(tokens, state["place"])[..., length - used :], []
        dtype = autocast_dtype(self.config.autocast, mel.device.type)
        with torch.autocast(mel.device.type, dtype, enabled=dtype is not None):
            x = self.model.stem(mel, place)[:, tokens.frame]
            for number, layer in enumerate(layers):
                if number == len(layers) - 1:  # the look-ahead is for the layers before
                    mask = mask[:, :, :new]
                past = {name: state[name][:, number, :, length - used :] for name in ("keys", "values")}
                x, own = _layer(layer, x, past, mask)
                made.append(own)
            return self.model.net.layer_norm(x), made

    def _tokens(self, k: int, device: torch.device) -> _Tokens:
        chunk, after, left = self.chunk_frames, self.after_frames, self.left_chunks
        starts = torch.arange(k, device=device)
        ahead = (starts[:, None] + 1) * chunk + torch.arange(after, device=device)
        frame = torch.cat([torch.arange(k * chunk, device=device), ahead.flatten()])
        of = torch.cat([starts.repeat_interleave(chunk), starts.repeat_interleave(after)])
        before = torch.arange(-left, 0, device=device).repeat_interleave(chunk)
        keys = torch.cat([before, of])
        near = (keys <= of[:, None]) & (keys >= of[:, None] - left)
        own = torch.cat([torch.ones_like(before), torch.ones_like(starts).repeat_interleave(chunk)]).bool()
        own = torch.cat([own, torch.zeros(len(ahead) * after, dtype=torch.bool, device=device)])
        return _Tokens(frame, torch.where(own, near, keys == of[:, None]))

    def _mask(self, tokens: _Tokens, place: Tensor) -> Tensor:
        """(B, 1, N, L + N): without the kept frames from before the positions began."""
        kept = self.left_chunks * self.chunk_frames
        back = self.left_chunks - torch.arange(kept, device=place.device) // self.chunk_frames
        there = nn.functional.pad(back <= place[:, None], (0, len(tokens.frame)), value=True)
        return (tokens.visible & there[:, None])[:, None]


def _kept(state: State, made: Sequence[State], new: int) -> State:
    """The keys and values to keep: with the first `new` of what each layer has made, as long as before."""
    kept = {}
    for name in ("keys", "values"):
        old = state[name]
        added = torch.stack([one[name][:, :, :new].to(old.dtype) for one in made], dim=1)
        kept[name] = torch.cat([old[:, :, :, new:], added[:, :, :, max(new - old.shape[3], 0) :]], dim=3)
    return kept


def _layer(layer: nn.Module, x: Tensor, past: State, mask: Tensor) -> tuple[Tensor, State]:
    """One of transformers' Whisper layers, with keys and values (B, H, L, head size) before those that it returns; of
    x (B, N, size) the first Q tokens, for which mask (B, 1, Q, L + N) has a row."""
    read, own = self_attention(layer.self_attn, layer.self_attn_layer_norm(x), past, mask)
    x = x[:, : mask.shape[2]] + read
    return x + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(x)))), own
