"""Configuration of the codec: two architectures with one interface, and what both share."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class QuantiserConfig:
    """One codebook: `vq` (learnt vectors) or `fsq` (a fixed grid, cannot collapse).

    dim: width in which codes are compared (vq; 0: the width of the latent itself).
    standardise: give every dimension mean 0 and variance 1 over the batch before it is quantised, so that all codes are
        in use from the first step (not with dim 0).
    normalise: compare directions only. decay: of the running means that the codes follow (vq).
    restart_below: a code used less than this share of an even use is put on a vector of the batch (vq).
    levels: values of each dimension (fsq).
    """

    kind: Literal["vq", "fsq"] = "vq"
    codebook_size: int = 1024
    dim: int = 8
    standardise: bool = True
    normalise: bool = True
    decay: float = 0.99
    restart_below: float = 0.05
    levels: tuple[int, ...] = (8, 8, 4, 4)

    def __post_init__(self) -> None:
        codes = math.prod(self.levels)
        if self.kind == "fsq" and codes != self.codebook_size:
            raise ValueError(f"levels {self.levels} make {codes} codes, codebook_size is {self.codebook_size}")


@dataclass(frozen=True)
class GlobalCodeConfig:
    """The voice: `tokens` 0 keeps a continuous vector of `dim`; n > 0 quantises it in n slices."""

    dim: int = 64
    tokens: int = 0
    codebook_size: int = 1024

    def __post_init__(self) -> None:
        if self.tokens and self.dim % self.tokens:
            raise ValueError(f"global dim {self.dim} is not a multiple of {self.tokens} tokens")


@dataclass(frozen=True)
class SpectralConfig:
    """Mel frames in, ConvNeXt, inverse STFT out; the decoder is causal but for `lookahead_tokens` tokens."""

    mel_bins: int = 80
    analysis_window_samples: int = 1024
    frames_per_token: int = 4
    width: int = 256
    encoder_blocks: int = 6
    global_blocks: int = 2
    decoder_blocks: int = 6
    fine_width: int = 128
    fine_blocks: int = 2
    kernel: int = 7
    expansion: int = 3
    synthesis_window_samples: int = 600
    lookahead_tokens: int = 2
    latent_dim: int = 64


@dataclass(frozen=True)
class TimeDomainConfig:
    """The architecture of the published checkpoint; rates and kernels in the generator's order.

    context_tokens: on each side, decoded again by a streaming step; None: the receptive field, which makes it exact.
    """

    block: Literal["1", "2"] = "1"
    rates: tuple[int, ...] = (8, 5, 5, 3)
    rate_kernels: tuple[int, ...] = (16, 11, 11, 5)
    channels: int = 512
    block_kernels: tuple[int, ...] = (3, 7, 11)
    block_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    global_conv: tuple[int, int, int, int, int] = (128, 128, 128, 3, 1)
    context_tokens: int | None = None

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.rate_kernels):
            raise ValueError(f"{len(self.rates)} rates but {len(self.rate_kernels)} rate_kernels")
        if len(self.block_kernels) != len(self.block_dilations):
            raise ValueError(f"{len(self.block_kernels)} block_kernels but {len(self.block_dilations)} block_dilations")
        for rate, kernel in zip(self.rates, self.rate_kernels, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(f"rate {rate} needs a kernel larger by an even number, not {kernel}")


@dataclass(frozen=True)
class ExternalConfig:
    """A codec of another library: `module:Class`, a subclass of ExternalCodec, and what it is made with."""

    code: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CodecConfig:
    """A single-codebook codec at 24 kHz, 600 samples (25 ms) a token (paper section 3.3.1)."""

    architecture: Literal["spectral", "time_domain", "external"] = "spectral"
    sample_rate_hz: int = 24000
    hop_samples: int = 600
    quantiser: QuantiserConfig = field(default_factory=QuantiserConfig)
    global_code: GlobalCodeConfig = field(default_factory=GlobalCodeConfig)
    spectral: SpectralConfig = field(default_factory=SpectralConfig)
    time_domain: TimeDomainConfig = field(default_factory=TimeDomainConfig)
    external: ExternalConfig = field(default_factory=ExternalConfig)

    def __post_init__(self) -> None:
        rates, samples = self.time_domain.rates, math.prod(self.time_domain.rates)
        if self.architecture == "spectral":
            _check_spectral(self.spectral, self.hop_samples)
        elif self.architecture == "external" and not self.external.code:
            raise ValueError("architecture external needs external.code, as my_module:MyCodec")
        elif self.architecture == "time_domain" and samples != self.hop_samples:
            raise ValueError(f"rates {rates} make {samples} samples a token, hop_samples is {self.hop_samples}")


def _check_spectral(spectral: SpectralConfig, hop_samples: int) -> None:
    if hop_samples % spectral.frames_per_token:
        raise ValueError(f"hop_samples {hop_samples} is not a multiple of {spectral.frames_per_token} frames")
    shift = hop_samples // spectral.frames_per_token
    window = spectral.synthesis_window_samples
    if window % shift or window // shift < 2 or window % 2:
        raise ValueError(f"synthesis_window_samples {window} must be an even multiple (2 or more) of {shift}")
    if spectral.lookahead_tokens * hop_samples < window - shift:
        raise ValueError("lookahead_tokens is too small for the tail of the synthesis window")
