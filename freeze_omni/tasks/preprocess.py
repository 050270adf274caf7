"""One utterance's entries, as read from the data directories, to arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from espnet2.asr.specaug.specaug import SpecAug

from freeze_omni.data.audio import load_entry
from freeze_omni.data.augment import AugmentConfig, augment
from freeze_omni.llm.order import ReadingOrder, parse_rounds

TextReaders = Mapping[str, tuple[str | tuple[str, ...], Callable[..., list[int]]]]
"""Entry to make -> (entry it is read from, or several, what makes ids of their texts)."""
Augment = Callable[[np.ndarray], np.ndarray]


class Reader:
    """Texts to ids, sound to one channel.

    texts: see `TextReaders`; a missing entry reads as "". sound: names of entries that are sound. augment: of training
    sound (S,) on the fly. Raises ValueError, with the id: an entry without samples, or with samples not finite.
    """

    def __init__(self, texts: TextReaders, sound: tuple[str, ...] = (), augment: Augment | None = None):
        self.texts = {name: ((read,) if isinstance(read, str) else read, ids) for name, (read, ids) in texts.items()}
        self.sound, self.augment = sound, augment

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, Any]:
        sources = {one for named, _ in self.texts.values() for one in named}
        entries = {name: value for name, value in data.items() if name not in sources}
        for name, (named, ids) in self.texts.items():
            entries[name] = np.asarray(ids(*(data.get(one, "") for one in named)), dtype=np.int64)
        for name in set(self.sound) & set(data):
            entries[name] = clean_sound(uid, data[name], self.augment)
        return entries


def build_augment(config: AugmentConfig | None, train: bool, sample_hz: int) -> Augment | None:
    """Random changes of training sound; None in validation, or without a configuration."""
    return partial(_augmented, config=config, sample_hz=sample_hz) if train and config is not None else None


def _augmented(samples: np.ndarray, config: AugmentConfig, sample_hz: int) -> np.ndarray:
    """The draws follow numpy's global seed, set for each utterance (`SeededDataset`)."""
    return augment(samples, np.random.default_rng(np.random.randint(2**31)), config, sample_hz)


def clean_sound(uid: str, samples: np.ndarray, augment: Augment | None = None) -> np.ndarray:
    """Samples (S,) or (S, channels) to (S,), augmented. Raises ValueError as `Reader`."""
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise ValueError(f"{uid}: no samples, or samples that are no numbers: remove it from wav.scp")
    samples = samples.astype(np.float32)
    return samples if augment is None else augment(samples).astype(np.float32)


def load_sound(uid: str, path: str, augment: Augment | None = None) -> np.ndarray:
    """Samples (S,) of a sound file, or of a place in an archive."""
    return clean_sound(uid, load_entry(path), augment)


def before_turn(history: str, order: ReadingOrder, system: str) -> list[int]:
    """Ids of all that the LLM reads before a user's turn; history: a line of the `history` table, or nothing."""
    return order.before_turn(system, parse_rounds(history))


def before_answer(question: str, history: str, order: ReadingOrder, system: str) -> list[int]:
    """Ids of all that the LLM reads before it answers a question in text; history as above."""
    return order.before_answer(system, parse_rounds(history), question)


@dataclass(frozen=True)
class SpecAugmentConfig:
    """SpecAugment's masks on normalised features: number, largest width in bins or frames (defaults: stage 1.3)."""

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
