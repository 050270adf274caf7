"""The speech encoder: normalisation, convolutions, blocks; chunk-wise and streaming."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from freeze_omni.attention import Rotary
from freeze_omni.encoder.attention import ATTENTION, Places, visible
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.frontend.cmvn import Cmvn
from freeze_omni.shapes import silence_padding, valid_mask
from freeze_omni.streaming import Augment, State


class Subsampling(nn.Module):
    """Four feature frames to one: two Conv2d (kernel 3, stride 2, ReLU) over time and mel bins, then a linear layer.

    3 + 4 n frames give n: frame t sees features 4 t - 3 to 4 t + 3, counted after the three that come before the first.
    """

    def __init__(self, input_size: int, channels: int, size: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, 2)
        self.conv2 = nn.Conv2d(channels, channels, 3, 2)
        self.out = nn.Linear(channels * (((input_size - 1) // 2 - 1) // 2), size)

    def forward(self, feats: Tensor) -> Tensor:
        """(B, 3 + F, input_size) to (B, F // 4, size)."""
        x = self.conv2(self.conv1(feats[:, None]).relu()).relu()
        return self.out(x.transpose(1, 2).flatten(2))


class Projection(nn.Module):
    """In place of `Subsampling` for features as long as a frame: a linear layer."""

    def __init__(self, input_size: int, size: int):
        super().__init__()
        self.out = nn.Linear(input_size, size)

    def forward(self, feats: Tensor) -> Tensor:
        """(B, T, input_size) to (B, T, size)."""
        return self.out(feats)


class CausalConvolution(nn.Module):
    """Gated pointwise, causal depthwise, norm of each frame, SiLU, pointwise, as in Conformer (for small data)."""

    def __init__(self, size: int, kernel: int):
        super().__init__()
        self.gated = nn.Linear(size, 2 * size)
        self.depthwise = nn.Conv1d(size, size, kernel, groups=size)
        self.norm = nn.LayerNorm(size)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, size), past (B, kernel - 1, size) to (B, T, size) and the next past."""
        inputs = torch.cat([past, nn.functional.glu(self.gated(x))], dim=1)
        y = self.depthwise(inputs.transpose(1, 2)).transpose(1, 2)
        return self.out(nn.functional.silu(self.norm(y))), inputs[:, x.shape[1] :]


class Block(nn.Module):
    """Attention, convolution (if configured) and feed-forward, each after a norm and added."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.size)
        self.attention = ATTENTION[config.positions](config)
        self.concat = nn.Linear(2 * config.size, config.size) if config.concat_after else None
        self.conv_norm = nn.LayerNorm(config.size) if config.conv_kernel else None
        self.conv = CausalConvolution(config.size, config.conv_kernel) if config.conv_kernel else None
        self.norm2 = nn.LayerNorm(config.size)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.size, config.ffn_size),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.ffn_size, config.size),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, past: dict[str, Tensor], mask: Tensor, places: Rotary | Places
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """x (B, Q, size) to the same, and the past of the next call.

        past: `keys`, `values` (B, L, H, head_size) and, with a convolution, `conv`
        (B, kernel - 1, size); the next past has the same sizes. mask (B or 1, Q, L + Q).
        """
        normed = self.norm1(x)
        new_keys, new_values = self.attention.project(normed)
        keys, values = torch.cat([past["keys"], new_keys], dim=1), torch.cat([past["values"], new_values], dim=1)
        attended = self.attention(normed, keys, values, mask, places)
        if self.concat is None:
            x = x + self.dropout(attended)
        else:
            x = x + self.concat(torch.cat([normed, attended], dim=-1))
        after = {"keys": keys[:, x.shape[1] :], "values": values[:, x.shape[1] :]}
        if self.conv is not None:
            y, after["conv"] = self.conv(self.conv_norm(x), past["conv"])
            x = x + self.dropout(y)
        return x + self.dropout(self.feed_forward(self.norm2(x))), after


class ConvolutionBlock(nn.Module):
    """A causal convolution after a norm, added: enough for features of a pretrained speech model.

    Same interface as `Block`, without attention: its past is `conv` alone.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.size)
        self.conv = nn.Conv1d(config.size, config.size, config.conv_kernel)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, past: dict[str, Tensor], mask: Tensor, places: Tensor | Places
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """x (B, Q, size) to the same, and the past of the next call: `conv` (B, kernel - 1, size)."""
        inputs = torch.cat([past["conv"], self.norm(x)], dim=1)
        y = self.conv(inputs.transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(nn.functional.gelu(y)), {"conv": inputs[:, x.shape[1] :]}


BLOCKS: dict[str, type[nn.Module]] = {"transformer": Block, "convolution": ConvolutionBlock}


class SpeechEncoder(nn.Module):
    """Features to encoder frames, of 40 ms with the paper's features (section 3.1, figure 2 left).

    A frame sees its own chunk, both ways, and `left_chunks` chunks before it. `forward` does so
    with a mask over whole utterances, `step` with caches of fixed size; both give the same.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.cmvn = Cmvn(config.input_size)
        self.subsampling: nn.Module = (
            Subsampling(config.input_size, config.channels, config.size)
            if config.subsampling == "conv"
            else Projection(config.input_size, config.size)
        )
        self.embed = _embed(config)
        # the released layer scales its input up, as sinusoids once were to be added to it
        self.scale = math.sqrt(config.size) if config.positions == "released" else 1.0
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(BLOCKS[config.block](config) for _ in range(config.layers))
        self.after_norm = nn.LayerNorm(config.size)

    @property
    def output_size(self) -> int:
        return self.config.size

    @property
    def knows_chunks(self) -> bool:
        """Whether frames depend on the chunk size: those of convolutions are the same at any."""
        return self.config.block == "transformer"

    def forward(
        self,
        feats: Tensor,
        lengths: Tensor,
        chunk_size: int | None = None,
        augment: Augment | None = None,
        taps: list[Tensor] | None = None,
        layers: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Raw features (B, F, input_size), lengths (B,) to frames (B, F // downsample, size), lengths.

        chunk_size: encoder frames of a chunk, 0 for infinite (everything sees everything), None for the configured size
            or, in training with dynamic chunks, a drawn one.
        augment: (normalised feats, lengths) to the same, such as SpecAugment.
        taps: takes the output, as frames, of every block, for losses on earlier blocks.
        layers: run only this many blocks; None for all.
        Padding may hold anything; the output's is zero.
        """
        x = silence_padding(self._normalised(feats), lengths)
        if augment is not None:
            x, lengths = augment(x, lengths)
        x = nn.functional.pad(x, (0, 0, 0, max(0, self.config.downsample - x.shape[1])))
        x = self._embedded(torch.cat([self._start(x), x], dim=1))
        lengths = lengths // self.config.downsample
        chunk = self._chunk(chunk_size)
        frames = torch.arange(x.shape[1], device=x.device)[None]
        mask = visible(frames, frames, chunk, self.config.left_frames)
        mask = mask & valid_mask(lengths, x.shape[1])[:, None]
        # a padding frame sees itself: a softmax over nothing is NaN
        mask = mask | torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
        places = ATTENTION[self.config.positions].places(self.config, frames, frames, chunk)
        past = self._past(len(x), 0, x.device, x.dtype)
        for layer, block in enumerate(self.blocks[:layers]):
            x, _ = block(x, {key: value[:, layer] for key, value in past.items()}, mask, places)
            if taps is not None:
                taps.append(x)
        return silence_padding(self.after_norm(x), lengths), lengths

    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """A stream that has heard nothing. device and dtype default to the parameters' own.

        feats (B, downsample - 1, input_size), normalised; keys and values (B, layers, left_frames, heads,
        head_size) of Transformer blocks; conv (B, layers, kernel - 1, size) where configured; frames (B,) given so far.
        """
        weight = self.after_norm.weight
        device, dtype = device or weight.device, dtype or weight.dtype
        state = self._past(batch_size, self.config.left_frames, device, dtype)
        state["feats"] = self._start(torch.empty(batch_size, 0, self.config.input_size, device=device, dtype=dtype))
        state["frames"] = torch.zeros(batch_size, dtype=torch.long, device=device)
        return state

    def step(self, feats: Tensor, state: State) -> tuple[Tensor, State]:
        """Raw features (B, k * chunk_frames * downsample, input_size) to frames (B, k * chunk_frames, size).

        Raises ValueError if the features are not whole chunks.
        """
        chunk_feats = self.config.chunk_frames * self.config.downsample
        if feats.shape[1] == 0 or feats.shape[1] % chunk_feats:
            raise ValueError(f"a step takes a multiple of {chunk_feats} feature frames, found {feats.shape[1]}")
        x = torch.cat([state["feats"], self._normalised(feats)], dim=1)
        after = {"feats": x[:, feats.shape[1] :]}
        x = self._embedded(x)
        new = torch.arange(x.shape[1], device=x.device)
        kept = torch.arange(-self.config.left_frames, x.shape[1], device=x.device)
        queries, keys = (state["frames"][:, None] + frames for frames in (new, kept))
        mask = visible(queries, keys, self.config.chunk_frames, self.config.left_frames)
        places = ATTENTION[self.config.positions].places(self.config, queries, keys, self.config.chunk_frames)
        pasts = {key: state[key].unbind(1) for key in ("keys", "values", "conv") if key in state}
        afters = []
        for layer, block in enumerate(self.blocks):
            x, past = block(x, {key: layers[layer] for key, layers in pasts.items()}, mask, places)
            afters.append(past)
        after |= {key: torch.stack([past[key] for past in afters], dim=1) for key in pasts}
        after["frames"] = state["frames"] + x.shape[1]
        return self.after_norm(x), after

    def _normalised(self, feats: Tensor) -> Tensor:
        return self.cmvn(feats).to(self.after_norm.weight.dtype)

    def _embedded(self, x: Tensor) -> Tensor:
        return self.dropout(self.embed(self.subsampling(x)) * self.scale)

    def _start(self, x: Tensor) -> Tensor:
        """The normalised features before the first, which the convolutions need: (B, downsample - 1, input_size)."""
        start = x.new_zeros(len(x), self.config.downsample - 1, x.shape[2])
        return start if self.config.start == "zero_cmvn" else self._normalised(start)

    def _chunk(self, chunk_size: int | None) -> int:
        if chunk_size is not None:
            return chunk_size
        if not (self.training and self.config.dynamic_chunks):
            return self.config.chunk_frames
        if float(torch.rand(())) < self.config.full_context_probability:
            return 0
        return int(torch.randint(1, self.config.max_dynamic_chunk + 1, ()))

    def _past(self, rows: int, left: int, device: torch.device | str, dtype: torch.dtype) -> State:
        config = self.config
        shapes: dict[str, tuple[int, ...]] = {}
        if config.block == "transformer":
            shapes = dict.fromkeys(("keys", "values"), (left, config.heads, config.head_size))
        if config.conv_kernel:
            shapes["conv"] = (config.conv_kernel - 1, config.size)
        rows_of = partial(torch.zeros, rows, config.layers, device=device, dtype=dtype)
        return {key: rows_of(*shape) for key, shape in shapes.items()}


def _embed(config: EncoderConfig) -> nn.Sequential:
    if config.positions == "rotary":
        return nn.Sequential(nn.LayerNorm(config.size))
    return nn.Sequential(
        nn.Linear(config.size, config.size), nn.LayerNorm(config.size), nn.Dropout(config.dropout), nn.ReLU()
    )
