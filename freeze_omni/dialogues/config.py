"""The dialogue YAML of stage 4: which sets are made of what, how scenes are composed, what is rejected."""

from __future__ import annotations

from dataclasses import dataclass, field

from freeze_omni.data.questions.answers import AnswerConfig
from freeze_omni.data.scenes import SceneConfig


@dataclass(frozen=True)
class SetConfig:
    """One set: its sources (folders below data/) and how many scenes of each kind.

    complete and paused turns carry a question's answer; a question has up to `recordings` of them.
    scenes: how many more of each kind, without an answer; complete and paused among them are recordings of the set's
    questions again, with or without a usable answer, that teach the state head alone.
    answer_words: questions whose answer is longer, or did not end, are left out (0: none is).
    rounds: turns of the user, from the dialogue's start, as far as they are spoken by one voice; the later ones of
    qa/dialogues.jsonl are asked behind the LLM's own answers to the earlier ones.
    """

    speech: str
    qa: str = ""
    duplex: str = ""
    questions: int = 0  # 0: all that have a recording
    recordings: int = 1
    answer_words: int = 0
    rounds: int = 1
    speak_answers: bool = False
    paused_share: float = 0.0
    scenes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds {self.rounds}: it counts the user's turns of a dialogue, from 1")


@dataclass(frozen=True)
class RejectionConfig:
    """Speech that the judge (--judge) does not hear as it was written is left out of the sets.

    most_wer: error rate (a fraction) of a clip above which it goes. questions: their recordings, for corpora that were
    synthesised and not judged in stage 1; answers: what stage 4 speaks itself.
    """

    most_wer: float = 0.2
    normaliser: str = "english"
    language: str = "en"
    questions: bool = True
    answers: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.most_wer:
            raise ValueError(f"most_wer {self.most_wer}: it is a share of the words, 0.2 for a fifth")


@dataclass(frozen=True)
class DialogueConfig:
    """All sets of a recipe by name, the answers' voice, and how scenes are composed; rejection: None keeps all."""

    sets: dict[str, SetConfig]
    voice: str = "kokoro:af_heart@1.1"
    seed: int = 0
    answers: AnswerConfig = field(default_factory=AnswerConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    rejection: RejectionConfig | None = None
