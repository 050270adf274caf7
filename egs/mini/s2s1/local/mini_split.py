"""Which questions are held out: combinations of fact and phrasing, and whole phrasings."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from freeze_omni.data.questions import Question


@dataclass(frozen=True)
class SplitConfig:
    """Sizes of the held-out sets, and how often each of their words must come in training texts."""

    test: int = 100
    dev: int = 40
    new_phrasings: float = 0.4  # share of a held-out set that is asked in a phrasing never trained
    min_word_count: int = 3

    def __post_init__(self) -> None:
        if self.test < 1 or self.dev < 1 or not 0 <= self.new_phrasings <= 1:
            raise ValueError("test and dev must be 1 or more, new_phrasings in 0 to 1")


def split_questions(questions: Sequence[Question], config: SplitConfig, seed: int = 0) -> dict[str, list[Question]]:
    """Cut into train, dev and test without a shared question; kinds as even as can be.

    A held-out question is only taken while each of its words stays in `min_word_count` training
    questions, so that a test asks for new sentences and not for new words.
    Raises ValueError where the tables are too small for the sizes asked.
    """
    rng = random.Random(seed)
    usual = [q for q in questions if not q.held_out]
    unusual = [q for q in questions if q.held_out]
    rng.shuffle(usual)
    rng.shuffle(unusual)
    counts = Counter(word for q in usual for word in words(q.question))
    split: dict[str, list[Question]] = {}
    for name, size in (("test", config.test), ("dev", config.dev)):
        unseen = round(size * config.new_phrasings) if unusual else 0
        new = _take_evenly(unusual, unseen, lambda q: _covered(q, counts, config.min_word_count))
        old = _take_evenly(usual, size - len(new), lambda q: _spare(q, counts, config.min_word_count))
        if len(new) + len(old) < size:
            raise ValueError(
                f"only {len(new) + len(old)} of {size} {name} questions can be held out:"
                " add facts or phrasings, or ask for fewer"
            )
        split[name] = sorted(new + old, key=lambda q: q.id)
    held = {q.id for name in split for q in split[name]}
    split["train"] = sorted((q for q in usual if q.id not in held), key=lambda q: q.id)
    return split


def words(text: str) -> list[str]:
    """Lower-case words of a sentence, without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def _take_evenly(pool: list[Question], size: int, may) -> list[Question]:
    """Take up to `size` questions out of `pool`, going round the kinds; the taken leave the pool."""
    by_kind: dict[str, list[Question]] = {}
    for question in pool:
        by_kind.setdefault(question.kind, []).append(question)
    taken: list[Question] = []
    while len(taken) < size and any(by_kind.values()):
        for waiting in by_kind.values():
            while waiting and len(taken) < size:
                question = waiting.pop()
                if may(question):
                    taken.append(question)
                    break
    gone = {q.id for q in taken}
    pool[:] = [q for q in pool if q.id not in gone]
    return taken


def _covered(question: Question, counts: Counter[str], least: int) -> bool:
    return all(counts[word] >= least for word in words(question.question))


def _spare(question: Question, counts: Counter[str], least: int) -> bool:
    """Whether the question can leave training; if so its words are taken off the counts."""
    own = Counter(words(question.question))
    if any(counts[word] - number < least for word, number in own.items()):
        return False
    counts.subtract(own)
    return True


def coverage(held_out: Iterable[str], train: Iterable[str]) -> dict[str, int]:
    """For each word of the held-out texts, in how many training texts it comes."""
    counts = Counter(word for text in train for word in set(words(text)))
    return {word: counts[word] for text in held_out for word in words(text)}
