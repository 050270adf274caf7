"""What each set of stage 4 is composed of: which recording, as what kind of scene, to which question and answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from freeze_omni.data.corpora.base import Utterance
from freeze_omni.data.kaldi_dir import read_set
from freeze_omni.data.questions import Question, read_questions
from freeze_omni.data.tables import TableError
from freeze_omni.dialogues.answers import Asked, LlmAnswer
from freeze_omni.dialogues.config import SetConfig
from freeze_omni.dialogues.speak import read_dialogues
from freeze_omni.speech_decoder.normalise import spoken_english

Ask = Callable[[Sequence[Asked]], dict[Asked, LlmAnswer]]


@dataclass(frozen=True)
class PlannedScene:
    """One scene before it is composed; history: (user text, answer) of each earlier round of its dialogue."""

    id: str
    kind: str
    recording: Utterance
    question: Question | None = None
    answer: str = ""
    history: tuple[tuple[str, str], ...] = ()


def spoken_answer(answer: LlmAnswer | None, longest_words: int) -> str:
    """The answer with numbers in words; "" if it did not end, is too long, or has several lines."""
    if answer is None:
        return ""
    text = " ".join(spoken_english(answer.text).split())
    if longest_words and (not answer.ended or len(text.split()) > longest_words or "\n" in answer.text):
        return ""
    return text


def plan_set(config: SetConfig, data: Path, answers: dict[str, LlmAnswer], rng: random.Random) -> list[PlannedScene]:
    """Choose recordings, questions and kinds. Raises TableError: a source is missing or too small."""
    recordings = read_set(data / config.speech)
    asked = read_questions(data / config.qa / "questions.jsonl") if config.qa else []
    planned = _plan_questions(config, recordings, asked, answers, rng)
    if config.qa and not planned:
        raise TableError(f"{data / config.speech}: none of the questions of {config.qa} is spoken there")
    texts = {question.question for question in asked}
    turns = [r for r in recordings if r.text in texts]
    pools = {"complete": turns, "paused": turns, "cutoff": turns or recordings, "noise": recordings}
    if config.duplex:
        others = read_set(data / config.duplex)
        for kind in ("backchannel", "side"):
            pools[kind] = [r for r in others if r.id.startswith(f"{kind}-")]
    for kind, count in config.scenes.items():
        if count and not pools.get(kind):
            raise TableError(f"{data / (config.duplex or config.speech)}: no recordings for '{kind}' scenes")
        for number in range(count):
            planned.append(PlannedScene(f"{kind}-{number:04d}", kind, rng.choice(pools[kind])))
    return planned


def _plan_questions(
    config: SetConfig,
    recordings: Sequence[Utterance],
    asked: Sequence[Question],
    answers: dict[str, LlmAnswer],
    rng: random.Random,
) -> list[PlannedScene]:
    spoken: dict[str, list[Utterance]] = {}
    for recording in recordings:
        spoken.setdefault(recording.text, []).append(recording)
    usable = []
    for question in asked:
        answer = spoken_answer(answers.get(question.question), config.answer_words)
        if question.question in spoken and answer:
            usable.append((question, answer))
    if config.questions:
        rng.shuffle(usable)
        usable = usable[: config.questions]
    planned = []
    for question, answer in usable:
        takes = spoken[question.question]
        for number, take in enumerate(rng.sample(takes, min(config.recordings, len(takes)))):
            key = question.id if config.recordings == 1 else f"{question.id}-{number}"
            planned.append(PlannedScene(key, _kind_of_turn(config, rng), take, question, answer))
    return planned


def later_rounds(
    config: SetConfig, data: Path, first: Sequence[PlannedScene], ask: Ask, rng: random.Random
) -> list[PlannedScene]:
    """The rounds after the planned first ones, round by round; none if the questions belong to no dialogues.

    A dialogue ends where the same voice does not speak its next turn, or where an answer cannot be used.
    Raises TableError.
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
        answers = ask([Asked(turn.recording.text, turn.history) for turn in turns])
        last = []
        for turn in turns:
            answer = spoken_answer(answers[Asked(turn.recording.text, turn.history)], config.answer_words)
            if answer:
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
