"""Later rounds of spoken dialogues: each is asked behind the LLM's own answers to the earlier ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from freeze_omni.data.dialogue import Dialogue, Recording, read_recordings, spoken_answer
from freeze_omni.data.dialogue_config import SetConfig
from freeze_omni.data.questions.answers import Asked, LlmAnswer
from freeze_omni.data.speak_dialogues import read_dialogues

Ask = Callable[[Sequence[Asked]], dict[Asked, LlmAnswer]]


def later_rounds(
    config: SetConfig, data: Path, first: Sequence[Dialogue], ask: Ask, rng: random.Random
) -> list[Dialogue]:
    """The rounds behind the planned first ones, round by round; none where the questions are of no dialogues.

    A dialogue ends where its next turn is not spoken by the same voice, or where an answer cannot be used.
    Raises TableError.
    """
    path = data / config.qa / "dialogues.jsonl"
    if config.rounds == 1 or not config.qa or not path.is_file():
        return []
    users = {row["id"]: [one["user"] for one in row["rounds"]] for row in read_dialogues(path)}
    takes = {(take.speaker, take.text): take for take in read_recordings(data / config.speech)}
    found: list[Dialogue] = []
    last = [dialogue for dialogue in first if dialogue.question is not None]
    for number in range(1, config.rounds):
        turns = [turn for before in last if (turn := _next(before, number, users, takes)) is not None]
        answers = ask([Asked(turn.recording.text, turn.history) for turn in turns])
        last = []
        for turn in turns:
            answer = spoken_answer(answers[Asked(turn.recording.text, turn.history)], config.answer_words)
            if answer:
                kind = "paused" if rng.random() < config.paused_share else "complete"
                last.append(replace(turn, kind=kind, answer=answer))
        found += last
    return found


def _next(
    before: Dialogue, number: int, users: dict[str, list[str]], takes: dict[tuple[str, str], Recording]
) -> Dialogue | None:
    """The user's turn `number` (from 0) behind `before`, its answer still to come; None where it is not spoken."""
    assert before.question is not None
    key, id_ = (name.removesuffix(f"-round{number}") for name in (before.id, before.question.id))
    said = users.get(id_, [])
    take = takes.get((before.recording.speaker, said[number])) if number < len(said) else None
    if take is None:
        return None
    suffix = f"-round{number + 1}"
    question = replace(before.question, id=id_ + suffix, question=take.text, answers=())
    history = (*before.history, (before.recording.text, before.answer))
    return Dialogue(key + suffix, "complete", take, question, history=history)
