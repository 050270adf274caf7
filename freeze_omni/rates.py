"""Every rate of the system, derived from a handful of numbers (paper section 3.1, table of clocks)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """The clocks of a model: audio in, features, encoder, LLM positions, speech tokens, audio out.

    One streaming step is one encoder chunk. With the paper's figures: 160 ms = 2560 samples = 16 new feature frames =
    4 encoder frames = 2 LLM positions of the convolution adapter.
    """

    input_hz: int = 16000
    frame_shift_ms: int = 10
    frame_length_ms: int = 25
    mel_bins: int = 80
    encoder_downsample: int = 4
    chunk_frames: int = 4
    adapter_downsample: int = 2
    output_hz: int = 24000
    token_samples: int = 600

    @property
    def shift_samples(self) -> int:
        return self.input_hz * self.frame_shift_ms // 1000

    @property
    def window_samples(self) -> int:
        return self.input_hz * self.frame_length_ms // 1000

    @property
    def overlap_samples(self) -> int:
        """Samples of the step before that a step needs for its first frame (240 at 16 kHz)."""
        return self.window_samples - self.shift_samples

    @property
    def chunk_feats(self) -> int:
        """New feature frames of one step (16)."""
        return self.chunk_frames * self.encoder_downsample

    @property
    def overlap_feats(self) -> int:
        """Feature frames of the step before that the two stride-2 convolutions need (3)."""
        return self.encoder_downsample - 1

    @property
    def chunk_samples(self) -> int:
        """New samples of one step (2560)."""
        return self.chunk_feats * self.shift_samples

    @property
    def chunk_s(self) -> float:
        return self.chunk_samples / self.input_hz

    @property
    def chunk_ms(self) -> float:
        return 1000 * self.chunk_s

    @property
    def encoder_hz(self) -> float:
        return 1000 / (self.frame_shift_ms * self.encoder_downsample)

    @property
    def position_hz(self) -> float:
        """LLM positions a second of a fixed-rate adapter (12.5)."""
        return self.encoder_hz / self.adapter_downsample

    @property
    def token_hz(self) -> float:
        """Speech tokens a second (40)."""
        return self.output_hz / self.token_samples
