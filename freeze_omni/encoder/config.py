"""The encoder's configuration."""

from dataclasses import dataclass
from typing import Literal

RELEASED_TABLE = 5000  # positions of the released layer before it restarts


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and switches; the defaults are the released size with clean positions.

    input_size: mel bins. size: width of a frame. ffn_size: inner width of the feed-forward part.
    chunk_frames: encoder frames (of 40 ms) of one streaming step. left_chunks: how many such chunks before its own
    chunk a frame attends to, whatever the chunk size.
    subsampling: "conv", four features to a frame by two convolutions, or "none" for a frontend whose features are as
    long as a frame, such as a pretrained speech model's: a linear layer then.
    subsampling_channels: channels of the two convolutions; 0 means `size`, as released. They cost most of a small
    encoder's time.
    dynamic_chunks: training draws a chunk size for every batch: the whole utterance with `full_context_probability`,
    otherwise evenly from 1 to `max_dynamic_chunk` frames.
    positions: "rotary" (relative by rotation; a plain norm after the convolutions), or "released" (the released
    checkpoints' scores, position quirk, embedding layer and scale).
    concat_after: a block's attention joins by Linear([x; attention]) instead of a sum.
    block: "transformer", or "convolution" (ours): one full causal convolution in place of attention and feed-forward,
    for features of a pretrained speech model, which have seen the words around them.
    conv_kernel: width of a causal depthwise convolution in every Transformer block (ours; 0 leaves it out), or of a
    convolution block's.
    start: what comes before the first frame: zeros after normalisation ("zero_cmvn"), or before it ("zero_features",
    as released).
    """

    input_size: int = 80
    size: int = 1024
    layers: int = 24
    heads: int = 16
    ffn_size: int = 4096
    dropout: float = 0.1
    attention_dropout: float = 0.0
    subsampling: Literal["conv", "none"] = "conv"
    subsampling_channels: int = 0
    chunk_frames: int = 4
    left_chunks: int = 16
    dynamic_chunks: bool = False
    full_context_probability: float = 0.5
    max_dynamic_chunk: int = 25
    positions: Literal["rotary", "released"] = "rotary"
    concat_after: bool = False
    block: Literal["transformer", "convolution"] = "transformer"
    conv_kernel: int = 0
    start: Literal["zero_cmvn", "zero_features"] = "zero_cmvn"

    def __post_init__(self) -> None:
        if self.size % self.heads:
            raise ValueError(f"size {self.size} is not a multiple of heads {self.heads}")
        if self.positions == "rotary" and self.head_size % 2:
            raise ValueError(f"rotary positions need an even size a head, not {self.head_size}")
        if self.subsampling == "conv" and self.input_size < 7:
            raise ValueError(f"input_size {self.input_size}: two convolutions need 7 bins or more")
        if self.chunk_frames < 1 or self.left_chunks < 0 or self.conv_kernel < 0:
            raise ValueError("chunk_frames must be positive, left_chunks and conv_kernel not negative")
        if self.block == "convolution" and not self.conv_kernel:
            raise ValueError("convolution blocks need a conv_kernel of 1 or more")

        window, table = self.left_frames + self.chunk_frames, RELEASED_TABLE // self.chunk_frames * self.chunk_frames
        if self.positions == "released" and window >= table:
            raise ValueError(f"released positions are at most {table}, too few for a window of {window} frames")

    @property
    def head_size(self) -> int:
        return self.size // self.heads

    @property
    def left_frames(self) -> int:
        """Frames before its own chunk that a frame attends to: the size of the streaming cache."""
        return self.left_chunks * self.chunk_frames

    @property
    def downsample(self) -> int:
        """Features of a frame."""
        return 4 if self.subsampling == "conv" else 1

    @property
    def channels(self) -> int:
        return self.subsampling_channels or self.size
