"""Speech models of transformers as functions of a window: samples (B, S) to frames (B, S // frame_samples, size)."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, WhisperConfig
from transformers.audio_utils import mel_filter_bank
from transformers.models.moonshine_streaming.modeling_moonshine_streaming import MoonshineStreamingEncoder
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from freeze_omni.frontend.fbank import Fbank
from freeze_omni.streaming import State

WINDOW, SHIFT, SAMPLE_HZ = 400, 160, 16000  # of Whisper's features


class SpeechModel(nn.Module):
    """The base. frame_samples: samples of one frame. output_size: its width. net: transformers' module."""

    frame_samples = 320

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def output_size(self) -> int:
        return self.config.hidden_size

    def check_window(self, samples: int) -> None:
        """Raises ValueError if the model cannot take windows of so many samples."""

    def forward(self, wav: Tensor) -> Tensor:
        raise NotImplementedError


class LogMel(nn.Module):
    """Samples (B, S), S a multiple of 160, to features (B, bins, S // 160), as Whisper's own feature extractor."""

    def __init__(self, bins: int):
        super().__init__()
        mel = mel_filter_bank(1 + WINDOW // 2, bins, 0.0, SAMPLE_HZ / 2, SAMPLE_HZ, norm="slaney", mel_scale="slaney")
        self.register_buffer("mel", torch.from_numpy(mel).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        log = self._log(wav, centred=True)[..., :-1]
        return _above(log, log.amax(dim=(1, 2), keepdim=True))

    def running(self, wav: Tensor, ceiling: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        """Samples (B, WINDOW + n * SHIFT) to features (B, bins, n + 1) of the windows that they hold whole, each under
        the loudest value so far: ceiling (B,) before the first, and returned as it is after `kept` of them."""
        log = self._log(wav, centred=False)
        tops = torch.cat([ceiling[:, None].to(log.dtype), log.amax(dim=1)], dim=1).cummax(dim=1).values
        return _above(log, tops[:, None, 1:]), tops[:, kept].to(ceiling.dtype)

    def _log(self, wav: Tensor, centred: bool) -> Tensor:
        options = {"window": self.window, "center": centred, "return_complex": True}
        spectrum = torch.stft(wav.float(), WINDOW, SHIFT, **options)
        power = torch.einsum("bft,fm->bmt", spectrum.abs().square(), self.mel)
        return power.clamp_min(1e-10).log10()


def _above(log: Tensor, ceiling: Tensor) -> Tensor:
    """Log mel, scaled as Whisper was trained: nothing is more than 80 dB below the loudest value."""
    return (torch.maximum(log, ceiling - 8.0) + 4.0) / 4.0


class Whisper(SpeechModel):
    """Whisper's encoder on windows of less than 30 s: its log mel features, of which the loudest value of the window
    sets the floor, and the first of its positions."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.features, self.net = LogMel(config.num_mel_bins), WhisperEncoder(config)

    def check_window(self, samples: int) -> None:
        frames, most = samples // self.frame_samples, self.config.max_source_positions
        if frames > most:
            raise ValueError(f"left_s: windows of {frames} frames, and Whisper takes {most} at most")

    def forward(self, wav: Tensor) -> Tensor:
        net = self.net
        x = nn.functional.gelu(net.conv1(self.features(wav).to(net.conv1.weight.dtype)))
        x = nn.functional.gelu(net.conv2(x)).transpose(1, 2)
        x = x + net.embed_positions.weight[: x.shape[1]]  # its own forward takes 30 s and nothing else
        for layer in net.layers:
            x = layer(x, None)
        return net.layer_norm(x)

    def stem(self, mel: Tensor, place: Tensor) -> Tensor:
        """Features (B, bins, 2 F + 3) to frames (B, F, size) before the layers, whose convolutions see no padding;
        the first frame of row b has the position place[b]."""
        net = self.net
        x = mel.to(net.conv1.weight.dtype)
        for conv in (net.conv1, net.conv2):
            x = nn.functional.gelu(nn.functional.conv1d(x, conv.weight, conv.bias, conv.stride))
        x = x.transpose(1, 2)
        return x + net.embed_positions.weight[place[:, None] + torch.arange(x.shape[1], device=x.device)]


def heads(projected: Tensor, number: int) -> Tensor:
    """(B, N, size) to (B, number, N, head size)."""
    return projected.unflatten(2, (number, -1)).transpose(1, 2)


def self_attention(attention: nn.Module, x: Tensor, past: State, mask: Tensor) -> tuple[Tensor, State]:
    """That of one of transformers' Whisper layers, after keys and values (B, H, L, head size): what is read for the
    first Q tokens of x (B, N, size), for which mask (B, 1, Q, L + N) has a row, and the keys and values of x."""
    own = {"keys": attention.k_proj(x), "values": attention.v_proj(x)}
    own = {name: heads(value, attention.num_heads) for name, value in own.items()}
    keys, values = (torch.cat([past[name].to(value.dtype), value], dim=2) for name, value in own.items())
    query = heads(attention.q_proj(x[:, : mask.shape[2]]), attention.num_heads)
    read = nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    return attention.out_proj(read.transpose(1, 2).flatten(2)), own


class Waveform(SpeechModel):
    """wav2vec 2.0, HuBERT, WavLM and their like. do_normalize: windows of zero mean and unit variance."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        field, step = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            field, step = field + (kernel - 1) * step, step * stride
        self.frame_samples, self.around = step, field - step
        self.net = AutoModel.from_config(config)

    def forward(self, wav: Tensor) -> Tensor:
        if getattr(self.config, "do_normalize", True):
            wav = (wav - wav.mean(1, keepdim=True)) / (wav.var(1, keepdim=True, unbiased=False) + 1e-7).sqrt()
        wav = nn.functional.pad(wav, (self.around // 2, self.around - self.around // 2))
        return self.net(wav).last_hidden_state


class W2vBert(SpeechModel):
    """w2v-BERT 2.0: Kaldi's filterbank, each bin normalised over the window, two frames side by side."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.features, self.net = Fbank(), AutoModel.from_config(config)

    def forward(self, wav: Tensor) -> Tensor:
        lengths = torch.full((len(wav),), wav.shape[1], device=wav.device)
        feats, _ = self.features(wav, lengths)
        feats = (feats - feats.mean(1, keepdim=True)) / (feats.var(1, keepdim=True) + 1e-7).sqrt()
        return self.net(feats.unflatten(1, (-1, 2)).flatten(2)).last_hidden_state


class Moonshine(SpeechModel):
    """The encoder of a streaming Moonshine, with its own sliding attention inside each window."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(getattr(config, "encoder_config", config))
        self.net = MoonshineStreamingEncoder(self.config)
        self.frame_samples = 4 * self.net.embedder.frame_len

    def forward(self, wav: Tensor) -> Tensor:
        return self.net(wav, attention_mask=torch.ones_like(wav, dtype=torch.long)).last_hidden_state


KINDS: dict[str, Callable[[Any], SpeechModel]] = {
    "whisper": Whisper,
    **dict.fromkeys(("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "sew"), Waveform),
    "wav2vec2-bert": W2vBert,
    "moonshine_streaming": Moonshine,
}
LAYERS = ("encoder_layers", "num_hidden_layers")  # the names of the number of layers


def build_speech_model(described: Mapping[str, Any], layers: int = 0) -> SpeechModel:
    """With fresh weights, of so many `layers` (0: all). Raises ValueError: unknown `model_type`, or too few layers."""
    kind = described.get("model_type")
    if kind not in KINDS:
        raise ValueError(f"frontend: model_type {kind!r} is not one of {', '.join(KINDS)}; --encoder names a model")
    config = AutoConfig.for_model(**described)
    own = getattr(config, "encoder_config", config)
    name = next(name for name in LAYERS if name in own.to_dict())
    if layers > getattr(own, name):
        raise ValueError(f"frontend: {layers} layers of a model that has {getattr(own, name)}")
    if layers:
        setattr(own, name, layers)
    return KINDS[kind](config)
