"""SpecAugment by ESPnet, on normalised features, where a masked value is the mean."""

from __future__ import annotations

from dataclasses import dataclass

from espnet2.asr.specaug.specaug import SpecAug


@dataclass(frozen=True)
class SpecAugmentConfig:
    """Masks on every training utterance: their number, largest width in mel bins and in feature frames.

    The defaults are the paper's in stage 1.3.
    """

    freq_masks: int = 1
    freq_width: int = 10
    time_masks: int = 1
    time_width: int = 20


def build_spec_augment(config: SpecAugmentConfig | None) -> SpecAug | None:
    """(feats (B, F, bins), lengths) -> the same with masks; None without a configuration."""
    if config is None:
        return None
    freq = {"apply_freq_mask": config.freq_masks > 0, "num_freq_mask": config.freq_masks}
    time = {"apply_time_mask": config.time_masks > 0, "num_time_mask": config.time_masks}
    widths = {"freq_mask_width_range": (0, config.freq_width), "time_mask_width_range": (0, config.time_width)}
    return SpecAug(apply_time_warp=False, **freq, **time, **widths)
