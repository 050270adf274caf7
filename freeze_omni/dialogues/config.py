"""The dialogue YAML of stage 4: what each set is made of, how scenes are composed, what is rejected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from freeze_omni.dialogues.answers import AnswerConfig
from freeze_omni.duplex.scenes import SceneConfig

# (a folder for what was heard, sound by id, text by id) -> ids of what is misheard
Misheard = Callable[[Path, Mapping[str, object], Mapping[str, str]], set[str]]


@dataclass(frozen=True)
class SetConfig:
    """One set: its sources (folders below data/) and how many scenes of each kind.

    complete and paused turns carry a question's answer; a question has up to `recordings` of them.
    scenes: how many more of each kind, without an answer; complete and paused ones among them repeat recordings of the
        set's questions, with or without a usable answer, and teach the state head alone.
    answer_words: questions whose answer is longer, or did not end, are left out (0: none is).
    rounds: the user's turns of a dialogue, from its start, as far as one voice speaks them; the later ones of
        qa/dialogues.jsonl are asked after the LLM's own answers to the earlier ones.
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

    most_wer: a clip with a higher error rate (a fraction) is rejected. questions: judge their recordings, for corpora
    that were synthesised and not judged in stage 1; answers: judge what stage 4 speaks itself.
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
