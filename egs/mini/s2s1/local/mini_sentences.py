"""What is asked and said in each set of the mini corpus."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mini_config import MiniConfig
from mini_facts import make_questions, make_statements, read_phrases
from mini_split import split_questions, words

from freeze_omni.data.questions import Question


@dataclass(frozen=True)
class Sentences:
    """Questions by split; statements and side talk, those for training and those held out; what else is said in duplex
    scenes: backchannels and requests to wait, and in those of the test alone."""

    questions: dict[str, list[Question]]
    statements: list[str]
    held_statements: list[str]
    side_talk: list[str]
    held_side_talk: list[str]
    backchannels: list[str]
    test_backchannels: list[str]
    test_side_talk: list[str]
    waits: list[str]
    test_waits: list[str]
    fillers: list[str]
    test_fillers: list[str]

    @property
    def train(self) -> list[str]:
        """Every sentence that speech input may be trained on."""
        asked = [question.question for question in self.questions["train"]]
        return [*asked, *self.statements, *self.side_talk]

    @property
    def held_out(self) -> list[str]:
        """Every sentence of a development or test set."""
        asked = [question.question for name in ("dev", "test") for question in self.questions[name]]
        return [*asked, *self.held_statements, *self.held_side_talk, *self.test_side_talk]


def make_sentences(facts: Path, config: MiniConfig) -> Sentences:
    """Read the fact tables and hold sentences out; the same seed gives the same split."""
    rng = random.Random(config.seed)
    questions = split_questions(make_questions(facts), config.split, config.seed)
    statements = [statement.text for statement in make_statements(facts)]
    phrases = read_phrases(facts)
    side_talk = phrases.said(facts)
    rng.shuffle(statements)
    rng.shuffle(side_talk)
    counts = Counter(word for q in questions["train"] for word in words(q.question))
    counts.update(word for text in statements + side_talk for word in words(text))
    held = config.asr.test + config.asr.dev
    held_statements, statements = _hold_out(statements, held // 2, counts)
    held_side_talk, side_talk = _hold_out(side_talk, held - held // 2, counts)
    return Sentences(
        questions,
        statements,
        held_statements,
        side_talk,
        held_side_talk,
        list(phrases.backchannels),
        list(phrases.held_out_backchannels),
        list(phrases.held_out_side_talk),
        list(phrases.waits),
        list(phrases.held_out_waits),
        list(phrases.fillers),
        list(phrases.held_out_fillers),
    )


def _hold_out(texts: list[str], count: int, counts: Counter[str]) -> tuple[list[str], list[str]]:
    """Hold out up to `count` texts all of whose words are left in others."""
    held: list[str] = []
    for text in texts:
        own = Counter(words(text))
        if len(held) < count and all(counts[word] - n >= 2 for word, n in own.items()):
            held.append(text)
            counts.subtract(own)
    return held, [text for text in texts if text not in set(held)]
