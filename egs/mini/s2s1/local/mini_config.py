"""Sizes of the mini corpus, read from scales/*.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field

from mini_split import SplitConfig

from freeze_omni.dialogues.answers import AnswerConfig


@dataclass(frozen=True)
class AsrSizes:
    """Seconds of training speech by back-end; numbers of held-out sentences beside the questions."""

    seconds: dict[str, float]
    only_kokoro_s: float
    kokoro_voices: int
    asked_recordings: int  # of each question that the LLM has answered
    scrambled: float  # share of the other seconds in which words come in any order
    held_voices: dict[str, int]  # of each back-end, in the held-out sets of seen voices
    speeds: tuple[float, float]
    dev: int
    test: int
    real_train: int
    real_test: int


@dataclass(frozen=True)
class TtsSizes:
    """The one output voice: seconds of training speech, numbers of held-out answers."""

    voice: str
    train_s: float
    scrambled: float  # share of them in which words come in any order
    dev: int
    test: int
    answer_words: int  # longer answers of the LLM are not spoken
    words_s: float = 0.0  # seconds more of words in any order, which speech input does not hear


@dataclass(frozen=True)
class DuplexSizes:
    """Recordings that duplex scenes are composed of."""

    backchannels: int
    side_talk: int
    held_out: int


@dataclass(frozen=True)
class MiniConfig:
    """One scale of the corpus."""

    asr: AsrSizes
    tts: TtsSizes
    duplex: DuplexSizes
    unseen: str
    asked: int
    seed: int = 0
    split: SplitConfig = field(default_factory=SplitConfig)
    answers: AnswerConfig = field(default_factory=AnswerConfig)
