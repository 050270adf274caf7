"""What each set of stage 4 is composed of: which recording, as what kind of scene, to which question and answer."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from freeze_omni.data.corpora.base import Utterance
from freeze_omni.data.corpora.speakable import count_words, unspeakable
from freeze_omni.data.ids import id_fault
from freeze_omni.data.kaldi_dir import read_set
from freeze_omni.data.questions import Question, read_questions
from freeze_omni.data.tables import TableError, read_jsonl
from freeze_omni.data.tts.backends import Voice
from freeze_omni.data.tts.synthesize import Job
from freeze_omni.dialogues.answers import AnswerConfig, Ask, Asked, LlmAnswer
from freeze_omni.duplex.scenes import FILLER, NAMED, SceneConfig
from freeze_omni.speech_decoder.normalise import TextStyle, spoken_english, text_styler

PAUSED = ("paused", "cutoff")  # turns in which the user looks for a word
Spoken = Callable[[str], str]  # a text to the same text as it is spoken
# (a folder for what was heard, sound by id, text by id) -> ids of what is misheard
Misheard = Callable[[Path, Mapping[str, object], Mapping[str, str]], set[str]]


@dataclass(frozen=True)
class SetConfig:
    """One set: its sources (folders below data/) and how many scenes of each kind.

    complete and paused turns carry a question's answer; a question has up to `recordings` of them. scenes: how many
    more of each kind, without an answer; complete and paused ones among them repeat recordings of any question of the
    set, and teach the state head alone. after_answer: the share of those without an answer before which the system has
    answered another question, or has been saying so up to some word; an `echo`, of speech in the folder `own_voice`,
    always comes while it says that. speaks: the share of the others after an answer that come while it says something
    of `own_voice`, and may be heard with it. fillers: the share of paused and broken-off turns with an "um" of the
    folder `duplex` (ids `filler-...`) in the pause. answer_words: questions whose answer is longer, or did not end, are
    left out (0: none is). rounds: user turns of a dialogue, from its start, as far as one voice speaks them; the later
    ones of qa/dialogues.jsonl are asked after the LLM's own answers to the earlier ones.
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
    after_answer: float = 0.0
    own_voice: str = ""
    speaks: float = 0.0
    fillers: float = 0.0

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds {self.rounds}: it counts the user's turns of a dialogue, from 1")
        if not 0 <= self.after_answer <= 1:
            raise ValueError(f"after_answer {self.after_answer}: it is a share, from 0 to 1")
        if not 0 <= self.speaks <= 1 or self.speaks and not self.own_voice:
            raise ValueError(f"speaks {self.speaks}: it is a share, from 0 to 1, and above 0 only with own_voice")
        if not 0 <= self.fillers <= 1 or self.fillers and not self.duplex:
            raise ValueError(f"fillers {self.fillers}: it is a share, from 0 to 1, and above 0 only with duplex")


@dataclass(frozen=True)
class RejectionConfig:
    """Speech that the judge (--judge) hears with an error rate above most_wer (a fraction) is left out of the sets.

    questions: judge their recordings, if synthesised and not judged in stage 1; answers: what stage 4 speaks itself.
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
    """All sets of a recipe by name, the answers' voice, and how scenes are composed; rejection: None keeps all.

    text_style: how numbers of the answers become words.
    """

    sets: dict[str, SetConfig]
    voice: str = "kokoro:af_heart@1.1"
    text_style: TextStyle = "english"
    seed: int = 0
    answers: AnswerConfig = field(default_factory=AnswerConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    rejection: RejectionConfig | None = None

    def __post_init__(self) -> None:
        for name in self.sets:
            if fault := id_fault(str(name)):
                raise ValueError(f"sets: {name!r}, which becomes a folder: {fault}; rename it")


_SENTENCE_END = re.compile(r"(?<=[.?!])\s+|(?<=[。？！])")


@dataclass(frozen=True)
class SpeakConfig:
    """How much is spoken. rounds: user turns of a dialogue, from its start. sentences: of the assistant, in total."""

    voices: tuple[str, ...]
    voice: str = ""
    dialogues: int = 0  # 0: all
    rounds: int = 3
    sentences: int = 0
    most_words: int = 30  # of a sentence of the assistant
    text_style: TextStyle = "english"


def read_dialogues(path: Path) -> list[dict[str, Any]]:
    """dialogues.jsonl. Raises TableError that names the line."""
    if not path.is_file():
        raise TableError(f"{path}: no such file; prepare the dialogue corpus first")
    found = []
    for number, row in read_jsonl(path):
        try:
            fault, _ = id_fault(row["id"]), row["rounds"][0]["user"]
        except (KeyError, TypeError, IndexError):
            raise TableError(f"{path}:{number}: no dialogue with `id` and `rounds`; fix the line") from None
        if fault:
            raise TableError(f"{path}:{number}: id {row['id']!r}: {fault}; rename it")
        found.append(row)
    return found


def user_jobs(dialogues: Sequence[dict[str, Any]], config: SpeakConfig) -> list[Job]:
    """The user's turns: one voice for each dialogue, the voices in turn."""
    jobs = []
    for number, dialogue in enumerate(dialogues[: config.dialogues or None]):
        voice = Voice.parse(config.voices[number % len(config.voices)])
        turns = enumerate(dialogue["rounds"][: config.rounds])
        jobs += [Job(f"{voice.speaker}-{dialogue['id']}-{turn}", one["user"], voice) for turn, one in turns]
    return jobs


def assistant_jobs(dialogues: Sequence[dict[str, Any]], config: SpeakConfig) -> list[Job]:
    """Sentences of the assistant that can be spoken, each once, numbers in words, in the one voice."""
    if not config.voice:
        return []
    voice, spoken = Voice.parse(config.voice), text_styler(config.text_style)
    texts: dict[str, str] = {}
    for dialogue in dialogues:
        for one in dialogue["rounds"]:
            for sentence in _SENTENCE_END.split(one["assistant"]):
                text = " ".join(spoken(sentence).split())
                if text and unspeakable(text, config.most_words) is None and len(texts) < config.sentences:
                    texts.setdefault(text, f"{voice.speaker}-{dialogue['id']}-{len(texts):06d}")
    return [Job(key, text, voice) for text, key in texts.items()]


@dataclass(frozen=True)
class PlannedScene:
    """One scene before it is composed; history: (user text, answer) of each earlier round of its dialogue; own: what
    the system says meanwhile; filler: what the user says in the pause."""

    id: str
    kind: str
    recording: Utterance
    question: Question | None = None
    answer: str = ""
    history: tuple[tuple[str, str], ...] = ()
    own: Utterance | None = None
    filler: Utterance | None = None


def spoken_answer(answer: LlmAnswer | None, longest_words: int, spoken: Spoken = spoken_english) -> str:
    """The answer with numbers in words; "" if it did not end, is too long, or has several lines."""
    text = "" if answer is None else " ".join(spoken(answer.text).split())
    unusable = text and longest_words and (not answer.ended or count_words(text) > longest_words or "\n" in answer.text)
    return "" if unusable else text


def plan_set(
    config: SetConfig, data: Path, answers: dict[str, LlmAnswer], rng: random.Random, spoken: Spoken = spoken_english
) -> list[PlannedScene]:
    """Choose recordings, questions and kinds. Raises TableError: a source is missing or too small."""
    recordings = read_set(data / config.speech)
    asked = read_questions(data / config.qa / "questions.jsonl") if config.qa else []
    answered = [(one, spoken_answer(answers.get(one.question), config.answer_words, spoken)) for one in asked]
    planned = _plan_questions(config, recordings, answered, rng)
    if config.qa and not planned:
        raise TableError(f"{data / config.speech}: none of the questions of {config.qa} is spoken there")
    texts = {question.question for question in asked}
    turns = [r for r in recordings if r.text in texts]
    pools = {"complete": turns, "paused": turns, "cutoff": turns or recordings, "noise": recordings}
    others = read_set(data / config.duplex) if config.duplex else []
    pools |= {kind: [r for r in others if r.id.startswith(f"{kind}-")] for kind in NAMED}
    pools["echo"] = read_set(data / config.own_voice) if config.own_voice else []
    earlier = [(one.recording.text, one.answer) for one in planned]
    for kind, count in config.scenes.items():
        if count and not pools.get(kind):
            source = config.own_voice or "own_voice" if kind == "echo" else config.duplex or config.speech
            raise TableError(f"{data / source}: no recordings for '{kind}' scenes")
        added = [PlannedScene(f"{kind}-{n:04d}", kind, rng.choice(pools[kind])) for n in range(count)]
        planned += [_after_round(one, config, earlier, pools["echo"], rng) for one in added]
    if not config.fillers:
        return planned
    fillers = [r for r in others if r.id.startswith(f"{FILLER}-")]
    if not fillers:
        raise TableError(f"{data / config.duplex}: no recordings `{FILLER}-...` for `fillers`")
    return [_filled(one, config, fillers, rng) for one in planned]


def _filled(scene: PlannedScene, config: SetConfig, fillers: Sequence[Utterance], rng: random.Random) -> PlannedScene:
    """With a filler in its pause, by the same voice if there is one."""
    if scene.kind not in PAUSED or rng.random() >= config.fillers:
        return scene
    own = [one for one in fillers if one.speaker == scene.recording.speaker]
    return replace(scene, filler=rng.choice(own or fillers))


def _after_round(
    scene: PlannedScene,
    config: SetConfig,
    earlier: Sequence[tuple[str, str]],
    own_voice: Sequence[Utterance],
    rng: random.Random,
) -> PlannedScene:
    """With the round after which a scene without an answer comes, if any: its answer whole, or as far as it was said,
    which the system may be saying still."""
    if not earlier or not (config.after_answer and (scene.kind == "echo" or rng.random() < config.after_answer)):
        return scene
    question, answer = rng.choice(earlier)
    own = None
    if config.speaks and scene.kind != "echo" and rng.random() < config.speaks:
        own = rng.choice(own_voice)
        answer = own.text
    words = (scene.recording.text if scene.kind == "echo" else answer).split()
    said = " ".join(words[: rng.choice([len(words), rng.randint(1, len(words))])])
    return replace(scene, history=((question, said),), own=own)


def _plan_questions(
    config: SetConfig, recordings: list[Utterance], answered: list[tuple[Question, str]], rng: random.Random
) -> list[PlannedScene]:
    spoken: dict[str, list[Utterance]] = {}
    for recording in recordings:
        spoken.setdefault(recording.text, []).append(recording)
    usable = [(question, answer) for question, answer in answered if question.question in spoken and answer]
    if config.questions:
        rng.shuffle(usable)
    planned = []
    for question, answer in usable[: config.questions or None]:
        takes = spoken[question.question]
        for number, take in enumerate(rng.sample(takes, min(config.recordings, len(takes)))):
            key = question.id if config.recordings == 1 else f"{question.id}-{number}"
            planned.append(PlannedScene(key, _kind_of_turn(config, rng), take, question, answer))
    return planned


def later_rounds(
    config: SetConfig,
    data: Path,
    first: Sequence[PlannedScene],
    ask: Ask,
    rng: random.Random,
    spoken: Spoken = spoken_english,
) -> list[PlannedScene]:
    """The rounds after the planned first ones, round by round; none if the questions belong to no dialogues.

    A dialogue ends where its voice does not speak the next turn, or an answer cannot be used. Raises TableError.
    """
    path = data / config.qa / "dialogues.jsonl"
    if config.rounds == 1 or not config.qa or not path.is_file():
        return []
    users = {row["id"]: [one["user"] for one in row["rounds"]] for row in read_dialogues(path)}
    takes = {(take.speaker, take.text): take for take in read_set(data / config.speech)}
    found: list[PlannedScene] = []
    last = [scene for scene in first if scene.question is not None]
    for number in range(1, config.rounds):
        turns = [turn for before in last if (turn := _next(before, number, users, takes)) is not None]
        asked = [Asked(turn.recording.text, turn.history, (turn.question.id,)) for turn in turns]
        answers, last = ask(asked), []
        for turn, one in zip(turns, asked, strict=True):
            if answer := spoken_answer(answers.get(one), config.answer_words, spoken):
                last.append(replace(turn, kind=_kind_of_turn(config, rng), answer=answer))
        found += last
    return found


def _kind_of_turn(config: SetConfig, rng: random.Random) -> str:
    return "paused" if rng.random() < config.paused_share else "complete"


def _next(
    before: PlannedScene, number: int, users: dict[str, list[str]], takes: dict[tuple[str, str], Utterance]
) -> PlannedScene | None:
    """The user's turn `number` (from 0) after `before`, without its answer; None if it is not spoken."""
    assert before.question is not None
    key, id_ = (name.removesuffix(f"-round{number}") for name in (before.id, before.question.id))
    said = users.get(id_, [])
    take = takes.get((before.recording.speaker, said[number])) if number < len(said) else None
    if take is None:
        return None
    suffix = f"-round{number + 1}"
    question = replace(before.question, id=id_ + suffix, question=take.text, answers=())
    history = (*before.history, (before.recording.text, before.answer))
    return PlannedScene(key + suffix, "complete", take, question, history=history)
