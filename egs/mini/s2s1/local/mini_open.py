"""Open text, beyond the fact tables: what is said for training and for development."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mini_config import MiniConfig
from mini_everyday import everyday_sentences, read_words, word_sentences
from mini_facts import read_rows
from mini_grammar import Grammar, ask, read_grammar
from mini_held_out import HeldOut

from freeze_omni.data.questions import Question
from freeze_omni.dialogues.answers import AnswerConfig, LlmAnswer
from freeze_omni.speech_decoder.normalise import spoken_english

AskLlm = Callable[[Sequence[str], AnswerConfig], dict[str, LlmAnswer]]

_QUESTIONS, _QA_DEV = "questions.yaml", "qa_dev.tsv"
_SHORTEST_S = 1.5  # of a text on average: more are made than are spoken
_DEV_PATTERNS = 0.1
_NAMES = ("country", "city", "state", "month", "day", "language")  # lists whose words have a capital
_WRITER = AnswerConfig("You write a general knowledge quiz. Write one short question, and nothing else.", 24)
_WRITTEN = re.compile(r"[A-Z][A-Za-z' ,-]+\?")
_LONGEST = 14  # words of a question that the LLM writes


@dataclass(frozen=True)
class OpenParts:
    """What installers fetch: words.tsv and the folder of chatterbot-corpus; None could not be had."""

    words: Path | None = None
    chatterbot: Path | None = None


@dataclass(frozen=True)
class OpenTexts:
    """train: texts by kind (words, sentences, questions); dev: sentences; qa_dev: questions with answers."""

    train: dict[str, list[str]]
    dev: list[str]
    qa_dev: list[Question]


def open_texts(
    folder: Path, parts: OpenParts, config: MiniConfig, llm: AskLlm, trained: Sequence[str], held: Sequence[str]
) -> OpenTexts:
    """Texts of `folder` (open/), of the parts, and questions that the LLM writes.

    trained: sentences of the fact tables that are trained on; held: what no text of these may contain. Development
    sets do not depend on the sizes of training, and their questions have patterns of their own.
    """
    sizes = config.open
    grammar = read_grammar(folder / _QUESTIONS)
    words = read_words(parts.words, sizes.words, _names(grammar)) if parts.words else {}
    sentences = everyday_sentences(parts.chatterbot) if parts.chatterbot else []
    rng = random.Random(f"{config.seed} open dev")
    rng.shuffle(sentences)
    patterns = list(grammar.patterns)
    rng.shuffle(patterns)
    dev_patterns = patterns[: round(_DEV_PATTERNS * len(patterns))]
    third = sizes.dev // 3
    dev = sentences[:third] + (word_sentences(words, third, rng) if words else [])
    dev = HeldOut(held).apart(dev + ask(grammar, dev_patterns, sizes.dev - len(dev), rng))
    known = HeldOut([*trained, *held])
    qa_dev = [one for one in read_qa_dev(folder / _QA_DEV) if not known.within(one.question)][: sizes.qa_dev]

    rng = random.Random(f"{config.seed} open")
    count = round(sum(sizes.seconds.values()) / _SHORTEST_S)
    questions = ask(grammar, patterns[len(dev_patterns) :], count, rng)
    questions += written_questions(grammar, sizes.written, llm, rng)
    rng.shuffle(questions)
    train = {"questions": questions, "sentences": sentences[third:]}
    train["words"] = word_sentences(words, count, rng) if words else []
    kept = HeldOut([*held, *dev, *(one.question for one in qa_dev)])
    return OpenTexts({kind: kept.apart(texts) for kind, texts in train.items()}, dev, qa_dev)


def read_qa_dev(path: Path) -> list[Question]:
    """Questions of general knowledge with accepted answers, in other words than the patterns. Raises TableError."""
    return [_open_question(f"open-dev-{n:03d}", **row) for n, row in enumerate(read_rows(path))]


def written_questions(grammar: Grammar, count: int, llm: AskLlm, rng: random.Random) -> list[str]:
    """What the LLM writes when it is asked for a question about each of `count` words of the lists."""
    topics = sorted({entry.partition("/")[0] for entries in grammar.lists.values() for entry in entries})
    prompts = [f"Write a question about {topic}." for topic in rng.sample(topics, min(count, len(topics)))]
    found: dict[str, None] = {}
    for answer in llm(prompts, _WRITER).values() if prompts else ():
        text = spoken_english(answer.text)
        if answer.ended and _WRITTEN.fullmatch(text) and 3 <= len(text.split()) <= _LONGEST:
            found[text] = None
    return list(found)


def train_questions(texts: Sequence[str]) -> list[Question]:
    """Open questions for qa_train; what counts as right is not known, and not needed for training."""
    return [_open_question(f"open-{n:04d}", text) for n, text in enumerate(texts)]


def _open_question(key: str, question: str, answers: str = "") -> Question:
    return Question(key, question, tuple(filter(None, answers.split(","))), "open", question, key)


def _names(grammar: Grammar) -> list[str]:
    return [name for group in _NAMES for name in grammar.lists[group]]
