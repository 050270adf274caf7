"""Whisper's log mel features."""

import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

WINDOW, SHIFT, SAMPLE_HZ = 400, 160, 16000


class LogMel(nn.Module):
    """Samples (B, S), S a multiple of 160, to features (B, bins, S // 160), as Whisper's own feature extractor."""

    def __init__(self, bins: int):
        super().__init__()
        mel = mel_filter_bank(1 + WINDOW // 2, bins, 0.0, SAMPLE_HZ / 2, SAMPLE_HZ, norm="slaney", mel_scale="slaney")
        self.register_buffer("mel", torch.from_numpy(mel).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        spectrum = torch.stft(wav.float(), WINDOW, SHIFT, window=self.window, return_complex=True)[..., :-1]
        power = torch.einsum("bft,fm->bmt", spectrum.abs().square(), self.mel)
        log = power.clamp_min(1e-10).log10()
        log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0)
        return (log + 4.0) / 4.0
