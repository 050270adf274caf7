"""Sizes of the mini corpus, read from scales/*.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mini_split import SplitConfig

from freeze_omni.dialogues.answers import AnswerConfig


@dataclass(frozen=True)
class AsrSizes:
    """Seconds of training speech by back-end; numbers of held-out sentences in addition to the questions."""

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
    waits: int = 0  # requests to wait, for a state head with `wait: true`
    fillers: int = 0  # "um", in the pauses of a turn


@dataclass(frozen=True)
class OpenSizes:
    """Open text at --open_share 1, in addition to the sets above: other shares have so much of `seconds`, `spoken_s`,
    `written` and `asked`. The development sets are made at any share but 0."""

    seconds: dict[str, float]  # training speech by back-end
    only_kokoro_s: float  # where no quick program is at hand
    kinds: dict[str, float]  # shares of these seconds: words, sentences, questions
    speeds: tuple[float, float]
    pitches: tuple[float, ...]  # each quick voice comes with each pitch and each length of the vocal tract
    formants: tuple[float, ...]
    written: int  # questions that the LLM writes itself
    asked: int  # open questions that it answers, for dialogues
    dev: int  # sentences of asr_dev_open in addition to the questions
    qa_dev: int
    real_dev: int  # recorded human prompts
    spoken_s: float = 0.0  # of the output voice, for speech output alone: sentences, then words
    words: int = 12000  # the most frequent ones

    def at(self, share: float) -> OpenSizes:
        """The sizes of a share of the training text. Raises ValueError for a negative one."""
        if share < 0:
            raise ValueError(f"--open_share {share}: it is a share of the scale's open text, from 0")
        sizes = {name: share * size for name, size in self.seconds.items()}
        only_kokoro_s, spoken_s = share * self.only_kokoro_s, share * self.spoken_s
        counts = {"written": round(share * self.written), "asked": round(share * self.asked)}
        return replace(self, seconds=sizes, only_kokoro_s=only_kokoro_s, spoken_s=spoken_s, **counts)

    def __post_init__(self) -> None:
        if set(self.kinds) != {"words", "sentences", "questions"} or abs(sum(self.kinds.values()) - 1) > 1e-6:
            raise ValueError("kinds: the shares of words, sentences and questions must add up to 1")


@dataclass(frozen=True)
class MiniConfig:
    """One scale of the corpus."""

    asr: AsrSizes
    tts: TtsSizes
    duplex: DuplexSizes
    open: OpenSizes
    unseen: str
    asked: int
    seed: int = 0
    split: SplitConfig = field(default_factory=SplitConfig)
    answers: AnswerConfig = field(default_factory=AnswerConfig)
