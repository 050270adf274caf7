"""One utterance's entries, as read from the data directories, to arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from freeze_omni.data.augment import AugmentConfig, augment
from freeze_omni.speech_decoder.normalise import normalise, spoken_english
from freeze_omni.speech_decoder.spell import text_ids

if TYPE_CHECKING:
    from freeze_omni.llm.chat import ChatTemplate

TextReader = Callable[..., list[int]]
Augment = Callable[[np.ndarray], np.ndarray]


class Reader:
    """Texts to ids, sound to one channel.

    Args:
        texts: entry to make -> (entry it is read from, or several, what makes ids of their texts).
            A missing entry reads as "".
        sound: names of entries that are sound.
        augment: changes training sound (S,) on the fly; None leaves it.
    Raises:
        ValueError: an entry without samples, or with samples that are not finite, with its id.
    """

    def __init__(
        self,
        texts: Mapping[str, tuple[str | tuple[str, ...], TextReader]],
        sound: tuple[str, ...] = (),
        augment: Augment | None = None,
    ):
        self.texts = {name: ((read,) if isinstance(read, str) else read, ids) for name, (read, ids) in texts.items()}
        self.sound, self.augment = sound, augment

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, Any]:
        read = {name: ids(*(data.get(one, "") for one in named)) for name, (named, ids) in self.texts.items()}
        sources = {one for named, _ in self.texts.values() for one in named}
        entries = {name: value for name, value in data.items() if name not in sources}
        entries |= {name: np.asarray(ids, dtype=np.int64) for name, ids in read.items()}
        for name in self.sound:
            samples = one_channel(uid, data[name])
            entries[name] = samples if self.augment is None else self.augment(samples).astype(np.float32)
        return entries


class Augmenter:
    """Changes training sound at random; the draws follow numpy's global seed, which ESPnet sets."""

    def __init__(self, config: AugmentConfig, sample_hz: int):
        self.config, self.sample_hz = config, sample_hz

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(np.random.randint(2**31))
        return augment(samples, rng, self.config, self.sample_hz)


def build_augment(config: AugmentConfig | None, train: bool, sample_hz: int) -> Augment | None:
    """None where nothing is to be changed: in validation, or without a configuration."""
    return Augmenter(config, sample_hz) if train and config is not None else None


def one_channel(uid: str, samples: np.ndarray) -> np.ndarray:
    """Samples (S,) or (S, channels) to (S,)."""
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise ValueError(f"{uid}: no samples, or samples that are no numbers: remove it from wav.scp")
    return samples.astype(np.float32)


def tokenise(text: str, tokenizer: Any) -> list[int]:
    """LLM token ids of a text, nothing added."""
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def dialogue_context(history: str, chat: ChatTemplate, system: str) -> list[int]:
    """All that the LLM reads before a user's speech; history: a JSON list of [user text, answer], or nothing."""
    turns = said_before(history)
    return chat.dialogue(system, turns) + chat.user_prefix(first=not turns)


def answer_context(question: str, history: str, chat: ChatTemplate, system: str) -> list[int]:
    """All that the LLM reads before it answers a question in text; history as above."""
    return chat.dialogue(system, [*said_before(history), (question, None)])


def said_before(history: str) -> list[tuple[str, str]]:
    """A line of `history` as (user text, answer) pairs."""
    return [(user, answer) for user, answer in json.loads(history or "[]")]


def spoken_ids(text: str, tokenizer: Any, text_units: str, style: str) -> list[int]:
    """LLM token ids of a text as it is spoken; style: plain, released or english (see SpeechDecoderModelConfig)."""
    styles = {"plain": str.strip, "released": normalise, "english": spoken_english}
    return text_ids(styles[style](text), tokenizer, text_units)
